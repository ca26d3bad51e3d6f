"""A language model of characters: tinyshakespeare, in nanoGPT's setting for a CPU.

    flax-transformer train experiments/shakespeare.py --workdir runs/shakespeare
    flax-transformer generate --workdir runs/shakespeare "ROMEO:"

Some two minutes on two CPU cores. The data is downloaded, or read from --data.manual-dir.
"""

from flax_transformer.data.datasets.text_datasets import PlainTextConfig
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.experiment import Experiment
from flax_transformer.models import DecoderOnlyConfig
from flax_transformer.tasks.language_modeling.language_modeling_config import LanguageModelingConfig
from flax_transformer.training.optimizer.optimizer_config import OptimizerConfig
from flax_transformer.training.training_config import TrainingConfig

experiment = Experiment(
    data=PlainTextConfig(tokens="characters", max_length=64, batch_size=12),
    model=DecoderOnlyConfig(
        num_layers=4,
        d_model=128,
        d_ff=512,
        num_heads=4,
        attention_bias=False,
        max_positions=64,
        residual_dropout_rate=0.0,
        attention_dropout_rate=0.0,
    ),
    task=LanguageModelingConfig(),
    optimizer=OptimizerConfig("cosine", 1e-3, warmup_steps=100, b2=0.99, clip_norm=1.0),
    training=TrainingConfig(
        num_steps=2000,
        evaluate_every_steps=1000,
        checkpoint_every_steps=1000,
        keep_checkpoints=1,
        best_score="loss",
        log_every_steps=100,
    ),
    decoding=DecodingConfig("sample", max_extra_length=500, temperature=0.8, top_k=200),
)
