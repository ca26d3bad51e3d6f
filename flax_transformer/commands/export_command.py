"""`flax-transformer export`."""

import dataclasses
from pathlib import Path
from typing import Literal

from rich.console import Console

from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import say
from flax_transformer.errors import UserError
from flax_transformer.interchange.exported_adapters import export_adapter
from flax_transformer.interchange.exported_runs import export_run
from flax_transformer.training.checkpoints.workdir import Workdir


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(OfWorkdir):
    """Write a trained model as a folder that Hugging Face's transformers loads.

    The folder has the model, its tokenizer, its search and a model card. The file format of the
    weights is safetensors.
    """

    out: Path
    """New folder."""
    family: str | None = None
    """Kind of model to write, such as llama; by default the first that can hold this model."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Type of the tensors."""
    adapter: bool = False
    """Write only what a training with --training.lora.rank has changed, for the package PEFT. Needs
    --weights best or last."""

    def run(self) -> None:
        """Exports the model and says how to load it."""
        if self.adapter:
            self._export_adapter()
        else:
            self._export_model()

    def _export_adapter(self) -> None:
        if self.weights == "average":
            raise UserError(
                "--adapter needs --weights best or last: the mean of several adapters is not one"
            )
        if self.dtype != "float32":
            raise UserError(f"--dtype {self.dtype} is for a whole model: leave it out")
        base = Workdir(self.workdir).load().init_from
        family = export_adapter(self.workdir, self.out, weights=self.weights, family=self.family)
        say(Console(), f"{self.out} holds an adapter of the {family} model of {base}; in Python,")
        say(Console(), "where `model` is that model in transformers:")
        say(Console(), f'  peft.PeftModel.from_pretrained(model, "{self.out}")')

    def _export_model(self) -> None:
        options = {"weights": self.weights, "family": self.family, "dtype": self.dtype}
        exported = export_run(self.workdir, self.out, **options)
        console = Console()
        say(console, f"{self.out} holds a {exported.family} model; in Python:")
        for line in exported.use:
            say(console, f"  {line}")
        for line in exported.differences:
            say(console, f"note: {line}")
