import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flax_transformer.data.batches.buckets import Bucket, assign, deal, plan_buckets
from flax_transformer.errors import UserError

LENGTHS = st.lists(st.tuples(st.integers(1, 61), st.integers(1, 53)), min_size=1, max_size=97)


def padded_size(boxes, sources, targets):
    """Cells when every pair lies in the first box that holds it."""
    number = assign([Bucket(*box, rows=1) for box in boxes], sources, targets)
    return sum(sum(boxes[index]) for index in number)


@given(LENGTHS, st.integers(1, 7))
def test_buckets_are_few_within_budget_and_hold_all(lengths, num_buckets):
    sources, targets = np.array(lengths).T
    buckets = plan_buckets(sources, targets, 199, num_buckets)
    assert 1 <= len(buckets) <= num_buckets
    assert all(bucket.rows * bucket.target_length <= 199 for bucket in buckets)
    assert all(bucket.rows > 0 for bucket in buckets)
    assert buckets[-1][:2] == (sources.max(), targets.max())
    for shorter, longer in itertools.pairwise(buckets):
        assert shorter.source_length <= longer.source_length
        assert shorter.target_length <= longer.target_length


@settings(max_examples=31, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), min_size=1, max_size=13))
def test_no_other_buckets_pad_less(lengths):
    sources, targets = np.array(lengths).T
    planned = [bucket[:2] for bucket in plan_buckets(sources, targets, 997, num_buckets=3)]
    last = (sources.max(), targets.max())
    boxes = list(itertools.product(set(sources), set(targets)))
    chains = (
        [*chain, last]
        for chain in itertools.product(boxes, repeat=2)
        if all(np.all(np.less_equal(*pair)) for pair in itertools.pairwise(chain))
    )
    best = min(padded_size(chain, sources, targets) for chain in chains)
    assert padded_size(planned, sources, targets) == best


def test_many_lengths_are_planned_with_little_padding():
    rng = np.random.default_rng(0)
    sources = np.minimum(rng.gamma(4, 30, size=10_007).astype(int) + 1, 1009)
    targets = np.minimum(sources + rng.integers(-5, 6, size=sources.size).clip(1 - sources), 1009)
    buckets = plan_buckets(sources, targets, 8191, num_buckets=8)
    padded = padded_size([bucket[:2] for bucket in buckets], sources, targets)
    assert (sources + targets).sum() / padded > 0.8


def test_a_budget_too_small_is_refused():
    with pytest.raises(
        UserError, match=r"--data.tokens-per-batch 12 cannot hold a row of 13.*least 13"
    ):
        plan_buckets(np.array([5, 7]), np.array([11, 13]), 12, num_buckets=2)


@given(st.lists(st.integers(0, 23), min_size=3, max_size=3))
def test_dealing_gives_every_member_once_and_leaves_only_the_last_unfilled(sizes):
    buckets = [Bucket(2, 3, rows=7), Bucket(5, 5, rows=3), Bucket(7, 11, rows=2)]
    members = np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])
    groups = deal(buckets, members)
    dealt = np.concatenate([group.indices for group in groups]) if groups else np.zeros(0)
    assert sorted(dealt[dealt >= 0]) == list(range(sum(sizes)))
    assert all(group.indices.size == group.form.rows for group in groups)
    assert all((group.indices >= 0).all() for group in groups[:-1])
    assert not groups or (groups[-1].indices >= 0).any()


@given(st.lists(st.integers(0, 23), min_size=2, max_size=2))
def test_leftovers_only_go_up(sizes):
    buckets = [Bucket(2, 3, rows=7), Bucket(5, 5, rows=3)]
    members = np.split(np.arange(sum(sizes)), [sizes[0]])
    for group in deal(buckets, members):
        if group.form == buckets[0]:
            assert set(group.indices) <= set(members[0])


def test_a_batch_size_gives_every_bucket_as_many_rows():
    sources, targets = np.array([3, 5, 17, 19]), np.array([2, 7, 13, 11])
    by_tokens = plan_buckets(sources, targets, 101, 3)
    by_pairs = plan_buckets(sources, targets, None, 3, batch_size=46)
    assert by_pairs == tuple(bucket._replace(rows=46) for bucket in by_tokens)
    assert len({bucket.rows for bucket in by_tokens}) > 1
