"""Numbers in words from English to German: a translation task that a laptop learns in minutes."""

from flax_transformer.data.datasets import DataConfig
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.experiment import Experiment
from flax_transformer.models import EncoderDecoderConfig
from flax_transformer.training.config import TrainingConfig
from flax_transformer.training.optimizer import OptimizerConfig

experiment = Experiment(
    data=DataConfig(
        dataset="number_words", vocab_size=400, max_length=64, tokens_per_batch=4096, num_buckets=3
    ),
    model=EncoderDecoderConfig(
        num_encoder_layers=2,
        num_decoder_layers=2,
        d_model=128,
        d_ff=256,
        num_heads=4,
        residual_dropout_rate=0.0,
        norm_placement="pre",
    ),
    optimizer=OptimizerConfig("cosine", learning_rate=3e-3, warmup_steps=100, clip_norm=1.0),
    training=TrainingConfig(
        num_steps=400, evaluate_every_steps=200, checkpoint_every_steps=200, keep_checkpoints=1
    ),
    decoding=DecodingConfig(max_extra_length=32),
)
