"""Any row of the paper's Table 3 on Multi30k, English to German, scaled down for two cores.

    python experiments/table3.py --row B-key-dim-16 --workdir runs/B-key-dim-16

The whole row is scaled down: every width (d_model, d_ff, and keys and values of a head) is divided
by 4, the number of layers by 2, and the number of heads is unchanged. base becomes 3 + 3 layers
with d_model 128 and d_ff 512. So each row differs from base as in the paper, at a smaller size.

All rows are trained alike, but not as in the paper. Normalization comes before each sublayer and
the learning rate follows a cosine to zero, because the paper's placement and schedule learn little
in the 1,500 updates of this file. As in the paper, the peak falls with the root of d_model. Dropout
and label smoothing are those of the row. So rows trained by this file with the same --num-steps are
comparable. The published scores are printed for comparison. They are of another data set, so only
the order of the rows can agree, not the values.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

import flax_transformer as ft
from flax_transformer.cli import execute
from flax_transformer.commands.train_command import train_and_score
from flax_transformer.console import show_table
from flax_transformer.errors import unknown
from flax_transformer.models.table3 import table3
from flax_transformer.models.zoo import count_parameters


@dataclasses.dataclass(frozen=True)
class TrainRow:
    """Train a row of the paper's Table 3, scaled down, on Multi30k."""

    row: str
    """Name of the row, such as B-key-dim-16; `flax-transformer table3` lists them."""
    workdir: Path
    """Folder of the run; the same command continues its training."""
    manual_dir: str | None = None
    """Folder with the files of Multi30k, instead of a download."""
    num_steps: int = 1500
    """Updates of the model."""
    seed: int = 0
    """Seed of the initial parameters, of dropout and of the order of the data."""

    def run(self) -> None:
        """Trains, scores and prints the scores and the published ones of the row."""
        experiment = row_experiment(self.row, self.manual_dir, self.num_steps, self.seed)
        console = Console()
        record, _ = train_and_score(experiment, self.workdir, console)
        data: Any = experiment.data
        row, vocab_size = table3()[self.row], data.vocab_size
        here = {
            "parameters": f"{count_parameters(experiment.model, vocab_size) / 1e6:.1f} million",
            "updates": f"{experiment.training.num_steps:,}",
            "perplexity": f"{record.scores['perplexity'].value:.2f}",
            "BLEU": f"{record.scores['bleu'].value:.1f}",
        }
        published = {
            "parameters": f"{row.parameters} million" if row.parameters else "",
            "updates": f"{row.num_steps:,}",
            "perplexity": f"{row.perplexity:.2f}",
            "BLEU": f"{row.bleu:.1f}",
        }
        table = {
            f"here, Multi30k, {record.split}": here,
            "published, WMT 2014, newstest2013": published,
        }
        show_table(console, f"{self.row}: {row.change}", table)


def row_experiment(
    name: str, manual_dir: str | None = None, num_steps: int = 1500, seed: int = 0
) -> ft.Experiment:
    """Returns the experiment of a row.

    Raises:
        UserError: if the row is unknown.
    """
    if name not in table3():
        raise unknown("--row", name, table3())
    row = table3()[name]
    model = scaled_down(row.model)
    return ft.Experiment(
        data=ft.ParallelTextConfig(
            dataset="multi30k",
            form="tokenized",
            test_split="test_2016_flickr",
            manual_dir=manual_dir,
            vocab_size=4000,
            max_length=64,
            tokens_per_batch=3000,
        ),
        model=model,
        task=ft.TranslationConfig(label_smoothing=row.label_smoothing),
        optimizer=ft.OptimizerConfig(
            schedule="cosine",
            learning_rate=4e-3 * (128 / model.d_model) ** 0.5,
            warmup_steps=max(num_steps // 10, 1),
        ),
        training=ft.TrainingConfig(
            num_steps=num_steps,
            evaluate_every_steps=500,
            # The mean of the last five checkpoints covers a tenth of the training.
            checkpoint_every_steps=max(num_steps // 50, 1),
            keep_checkpoints=5,
        ),
        decoding=ft.DecodingConfig(beam_size=5, length_penalty="power", alpha=1.0),
        seed=seed,
    )


def scaled_down(model: ft.EncoderDecoderConfig) -> ft.EncoderDecoderConfig:
    """Divides all widths by 4 and the layers by 2."""
    key_dim, value_dim = model.head_dims()
    return dataclasses.replace(
        model,
        num_encoder_layers=model.num_encoder_layers // 2,
        num_decoder_layers=model.num_decoder_layers // 2,
        d_model=model.d_model // 4,
        d_ff=model.d_ff // 4,
        key_dim=key_dim // 4,
        value_dim=value_dim // 4,
        norm_placement="pre",
    )


if __name__ == "__main__":
    execute(TrainRow, sys.argv[1:])
