from flax_transformer.data.datasets.parallel_datasets import (
    ParallelTextConfig as ParallelTextConfig,
)
