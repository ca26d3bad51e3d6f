"""Fashion-MNIST."""

from flax_transformer.data.augmentation import AugmentationConfig
from flax_transformer.data.classes import ImagesConfig
from flax_transformer.experiment import Experiment
from flax_transformer.models import VisionConfig
from flax_transformer.tasks.classification import ClassificationConfig
from flax_transformer.training.config import TrainingConfig
from flax_transformer.training.optimizer import OptimizerConfig

experiment = Experiment(
    data=ImagesConfig(
        dataset="fashion_mnist",
        train_split="train[:90%]",
        validation_split="train[90%:]",
        batch_size=128,
        augmentation=AugmentationConfig(shift=1, flip=True),
    ),
    model=VisionConfig(
        num_layers=4,
        d_model=64,
        d_ff=128,
        num_heads=4,
        image_size=(28, 28),
        patch_size=(4, 4),
        num_channels=1,
        positions="sinusoidal_2d",
        pooling="mean",
    ),
    task=ClassificationConfig(label_smoothing=0.1),
    optimizer=OptimizerConfig("cosine", 3e-3, warmup_steps=200, clip_norm=1.0),
    training=TrainingConfig(
        num_steps=3000,
        evaluate_every_steps=500,
        checkpoint_every_steps=500,
        keep_checkpoints=1,
        best_score="accuracy",
    ),
    decoding=None,
)
