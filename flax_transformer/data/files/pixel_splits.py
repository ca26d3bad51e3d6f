from flax_transformer.data.datasets.labelled_datasets import open_arrays as open_pixels, still as still
