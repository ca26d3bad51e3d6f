"""Sentence pairs in batches of similar lengths."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.batches import Batches, Group
from flax_transformer.data.batches.buckets import (
    Bucket,
    assign,
    deal,
    evaluation_buckets,
    plan_buckets,
)
from flax_transformer.data.tokens.tokenized import TokenizedPairs


class LengthBatches(Batches):
    """Batches of a few shapes, with one pair in each row.

    Args:
        pairs: tokenized sentences, each of which fits into a bucket.
        buckets: the shapes, from the shortest to the longest.
        seed: seed of the shuffling; None for evaluation, the shortest first.

    Attributes:
        buckets: see the argument.
    """

    def __init__(self, pairs: TokenizedPairs, buckets: Sequence[Bucket], seed: int | None):
        self._pairs, self.buckets = pairs, buckets
        lengths = pairs.source.lengths, pairs.target.lengths
        order = np.arange(pairs.num_pairs)
        if seed is None:
            order = np.argsort(np.maximum(*lengths), kind="stable")
        number = assign(buckets, *lengths)[order] if buckets else order
        self._members = [order[number == bucket] for bucket in range(len(buckets))]
        super().__init__(len(deal(buckets, self._members)), seed)

    @classmethod
    def for_training(
        cls,
        pairs: TokenizedPairs,
        num_buckets: int,
        *,
        tokens_per_batch: int | None = None,
        batch_size: int | None = None,
        seed: int = 0,
    ) -> "LengthBatches":
        """Chooses the shapes with the least padding; see `plan_buckets` for the arguments.

        Raises:
            UserError: if tokens_per_batch cannot hold the longest target.
        """
        lengths = pairs.source.lengths, pairs.target.lengths
        buckets = plan_buckets(*lengths, tokens_per_batch, num_buckets, batch_size)
        return cls(pairs, buckets, seed)

    @classmethod
    def for_evaluation(
        cls, pairs: TokenizedPairs, tokens_per_batch: int, max_length: int
    ) -> "LengthBatches":
        """Returns batches of every pair once, the shortest first; see `evaluation_buckets`.

        Args:
            pairs: sentences and references, or `TokenizedPairs.without_targets(sources)`.
            tokens_per_batch: maximum tokens of one side of a batch.
            max_length: maximum tokens of a sentence.

        Raises:
            ValueError: if a sentence is longer than max_length.
        """
        buckets: tuple[Bucket, ...] = ()
        if pairs.num_pairs:
            longer = np.maximum(pairs.source.lengths, pairs.target.lengths)
            buckets = evaluation_buckets(longer, tokens_per_batch, max_length)
        return cls(pairs, buckets, None)

    def plan(self, rng: np.random.Generator | None) -> list[Group]:
        """Chooses the pairs of every batch; the form is the bucket."""
        if rng is None:
            return deal(self.buckets, self._members)
        groups = deal(self.buckets, [rng.permutation(own) for own in self._members])
        return [groups[index] for index in rng.permutation(len(groups))]

    def make(self, indices: Int[np.ndarray, " rows"], form: Bucket) -> Batch:
        """Pads pairs to the lengths of their bucket."""
        source, source_segments = self._pairs.source.pad(indices, form.source_length)
        target, target_segments = self._pairs.target.pad(indices, form.target_length)
        return Batch(source, target, source_segments, target_segments)

    def describe(self, devices: str) -> list[str]:
        """Describes an epoch; all epochs have the same description."""
        forms = [group.form for group in deal(self.buckets, self._members)]
        return describe_pairs(self._pairs, forms, devices)


def describe_pairs(pairs: TokenizedPairs, forms: Sequence[Bucket], devices: str) -> list[str]:
    """Describes an epoch of pairs; `forms` has the bucket of each batch."""
    tokens = pairs.source.tokens.size + pairs.target.tokens.size
    cells = sum(form.rows * (form.source_length + form.target_length) for form in forms)
    left_out = f", {pairs.left_out:,} left out" if pairs.left_out else ""
    return [
        f"{pairs.num_pairs:,} sentence pairs{left_out}; batch shapes: {len(set(forms))}, "
        f"each compiled once; updates an epoch: {len(forms):,}",
        f"{pairs.target.tokens.size / len(forms):,.0f} target tokens an update over {devices}, "
        f"padding {1 - tokens / cells:.1%}",
    ]
