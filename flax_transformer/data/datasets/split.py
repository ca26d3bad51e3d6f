from typing import NamedTuple

from flax_transformer.data.datasets.parallel_datasets import open_split


class Pair(NamedTuple):
    source: str
    target: str
    references: tuple[str, ...] = ()
def read_pairs(config, split):
    pairs = open_split(config, split)
    further = pairs.references() or [()] * len(pairs)
    return [Pair(p.source, p.target, tuple(r)) for p, r in zip(pairs, further, strict=True)]
