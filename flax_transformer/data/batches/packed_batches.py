from flax_transformer.data.batches.batching import TrainingBatches


class PackedBatches(TrainingBatches):
    def __init__(self, pairs, row_length, *, tokens_per_batch, rows_multiple=1, seed=0):
        super().__init__(pairs, tokens_per_batch, 1, rows_multiple, seed, None, row_length)
