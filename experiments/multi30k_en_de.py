"""Multi30k"""

import dataclasses

from flax_transformer.data.datasets import DataConfig
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.experiment import Experiment
from flax_transformer.models import PRESETS
from flax_transformer.training.config import TrainingConfig
from flax_transformer.training.optimizer import OptimizerConfig

experiment = Experiment(
    data=DataConfig(
        dataset="multi30k",
        form="tokenized",
        manual_dir="/work/shared/data/multi30k",
        data_dir="/tmp/exp/tfds",
        vocab_size=6000,
        max_length=64,
        tokens_per_batch=3000,
        num_buckets=6,
        test_split="test_2016_flickr",
    ),
    model=dataclasses.replace(PRESETS["tiny"], residual_dropout_rate=0.2),
    optimizer=OptimizerConfig("cosine", learning_rate=3e-3, warmup_steps=500),
    training=TrainingConfig(
        num_steps=5000, evaluate_every_steps=500, checkpoint_every_steps=100, keep_checkpoints=10
    ),
    decoding=DecodingConfig(beam_size=5, length_penalty="power", alpha=1.0, max_extra_length=50),
)
