import numpy as np

from flax_transformer.data.batches import windows
from flax_transformer.data.batches.shim import Epoch


class WindowBatches(windows.WindowBatches):
    def __new__(cls, stream=None, length=0, batch_size=0, *, rows_multiple=1, seed=0):
        if seed is None: return Epoch(lambda: ((np.arange(batch_size), b) for b in windows.evaluation_windows(stream, length, batch_size)))
        return object.__new__(cls)
    def __init__(self, stream, length, batch_size, *, rows_multiple=1, seed=0):
        super().__init__(stream, length, batch_size, rows_multiple, seed)
