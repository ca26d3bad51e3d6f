from flax_transformer.data.datasets.parallel_datasets import DATASETS as DATASETS
from flax_transformer.data.datasets.parallel_datasets import open_split as open_split
