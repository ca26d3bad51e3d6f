from flax_transformer.data.datasets.labelled_datasets import (
    LabelledTextConfig as LabelledTextConfig,
)
