from flax_transformer.data.batches.batching import TrainingBatches, evaluation_batches
from flax_transformer.data.batches.shim import Epoch


class LengthBatches(TrainingBatches):
    def __init__(self, pairs, num_buckets=6, *, tokens_per_batch=None, batch_size=None, rows_multiple=1, seed=0):
        super().__init__(pairs, tokens_per_batch, num_buckets, rows_multiple, seed, batch_size)
    @classmethod
    def for_evaluation(cls, pairs, tokens_per_batch, max_length, rows_multiple=1):
        return Epoch(lambda: evaluation_batches(pairs, tokens_per_batch, max_length, rows_multiple))
