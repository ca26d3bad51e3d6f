from flax_transformer.data.datasets.labelled_datasets import open_arrays
from flax_transformer.data.datasets.labelled_datasets import still as still

open_pixels = open_arrays
