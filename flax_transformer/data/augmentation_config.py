from flax_transformer.data.datasets.augmentation_config import (
    AugmentationConfig as AugmentationConfig,
)
