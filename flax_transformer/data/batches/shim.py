class Epoch:
    def __init__(self, make): self._make = make
    def epoch(self, number=0): return self._make()
    @property
    def batches_per_epoch(self): return len(list(self._make()))
    def __getitem__(self, step): return list(self._make())[step][1]
    def shard(self, i, n): return self
    def describe(self, devices): return []
