from flax_transformer.data.datasets.parallel_datasets import DATASETS as DATASETS, open_split as open_split
