"""Handwritten digits of 8 x 8 pixels, built in: a Vision Transformer in a minute.

flax-transformer train experiments/digits.py --workdir runs/digits
"""

from flax_transformer.data.classes import ImagesConfig
from flax_transformer.experiment import Experiment
from flax_transformer.models import VisionConfig
from flax_transformer.tasks.classification import ClassificationConfig
from flax_transformer.training.config import TrainingConfig
from flax_transformer.training.optimizer import OptimizerConfig

experiment = Experiment(
    data=ImagesConfig(dataset="digits", batch_size=64),
    model=VisionConfig(
        num_layers=3,
        d_model=64,
        d_ff=128,
        num_heads=4,
        image_size=(8, 8),
        patch_size=(2, 2),
        num_channels=1,
        pooling="mean",
        residual_dropout_rate=0.1,
    ),
    task=ClassificationConfig(label_smoothing=0.1),
    optimizer=OptimizerConfig("cosine", 2e-3, warmup_steps=50, clip_norm=1.0),
    training=TrainingConfig(
        num_steps=600,
        evaluate_every_steps=100,
        checkpoint_every_steps=100,
        keep_checkpoints=1,
        best_score="accuracy",
        log_every_steps=100,
    ),
    decoding=None,
)
