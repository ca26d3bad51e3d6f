from flax_transformer.data.datasets.labelled_datasets import still as still
