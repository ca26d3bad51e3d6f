"""From two files of any lines to an epoch of batches: every pair that fits comes exactly once."""

import collections
import itertools

import numpy as np
from batch_contents import pairs_of, training_batches
from hypothesis import given, settings
from hypothesis import strategies as st
from prepared import read_texts

from flax_transformer.data.batches.buckets import plan_buckets
from flax_transformer.data.batches.length_batches import LengthBatches
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenized_splits import make_tokenizer, tokenize_pairs

MAX_LENGTH = 23
SIDES = [f"{split}_{side}" for split in ("train", "validation") for side in ("source", "target")]
# A line ends at its line feed alone, and NUL is refused; all else is text.
LINE = st.one_of(
    st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=29),
    st.sampled_from(["", " ", "\u3000", "two\r", "a\rb", "\ufefftwo", "a\u2028b", "a\x85b\fc"]),
    st.sampled_from(["\u202eabc", "👩\u200d👩\u200d👧", "e\u0301", "\u200b", "x" * 997, "two"]),
)
FUZZ = settings(deadline=None, derandomize=True, max_examples=41)


def write(folder, lines) -> ParallelTextConfig:
    """Writes pairs of lines as the files of every split."""
    paths = {}
    for name, side in zip(SIDES, itertools.cycle(zip(*lines, strict=True))):
        paths[name] = str(folder / name)
        (folder / name).write_bytes("".join(f"{line}\n" for line in side).encode())
    return ParallelTextConfig(
        dataset="text_files",
        data_dir=str(folder / "prepared"),
        vocab_size=307,
        max_length=MAX_LENGTH,
        tokens_per_batch=67,
        **paths,
    )


def read(lines) -> list[tuple[str, ...]]:
    """What is documented of lines: a file's first mark and every line's carriage return go."""
    (source, target), *others = [tuple(side.removesuffix("\r") for side in pair) for pair in lines]
    return [(source.removeprefix("\ufeff"), target.removeprefix("\ufeff")), *others]


@FUZZ
@given(
    st.lists(st.tuples(LINE, LINE), min_size=1, max_size=13),
    st.integers(1, 5),
    st.sampled_from([{"tokens_per_batch": 67}, {"tokens_per_batch": 10**9}, {"batch_size": 6}]),
    st.booleans(),
)
def test_every_pair_that_fits_comes_exactly_once(
    tmp_path_factory, lines, num_buckets, limit, is_packed
):
    folder = tmp_path_factory.mktemp("lines")
    # One that fits whatever the subwords are; a file without any is refused.
    lines = [("two", "zwei"), *lines]
    texts = read(lines)
    config = write(folder, lines)
    tokenizer = make_tokenizer(config)
    pairs = tokenize_pairs(config, tokenizer, "train")
    row_length = MAX_LENGTH if is_packed and "batch_size" not in limit else None
    batches = training_batches(
        pairs, limit.get("tokens_per_batch"), num_buckets, 0, limit.get("batch_size"), row_length
    )
    epoch = [batches[step] for step in range(batches.batches_per_epoch)]
    found = collections.Counter(
        tuple(tokenizer.decode(side) for side in pair) for pair in pairs_of(*epoch)
    )
    fitting = [
        pair
        for pair in texts
        if all(side.strip() and len(tokenizer.encode(side)) < MAX_LENGTH for side in pair)
    ]
    assert found == collections.Counter(fitting)
    assert pairs.left_out == len(lines) - len(fitting)
    for batch in epoch:
        assert batch.target.size <= limit.get("tokens_per_batch", 6 * MAX_LENGTH)


@FUZZ
@given(st.lists(st.tuples(LINE, LINE), min_size=1, max_size=13), st.integers(1, 97))
def test_every_line_of_a_split_to_score_comes_exactly_once(tmp_path_factory, lines, budget):
    folder = tmp_path_factory.mktemp("lines")
    config = write(folder, [("two", "zwei"), *lines])
    tokenizer = make_tokenizer(config)
    sides = zip(*read_texts(config, "validation"), strict=True)
    source, target = (TokenizedText.encode(tokenizer, side).cut(MAX_LENGTH) for side in sides)
    pairs = TokenizedPairs(source, target)
    seen = []
    for indices, batch in LengthBatches.for_evaluation(pairs, budget, MAX_LENGTH).epoch():
        assert batch.source.shape[1] <= MAX_LENGTH
        assert len(indices) == 1 or batch.source.size <= budget
        seen += indices[indices >= 0].tolist()
    assert sorted(seen) == list(range(len(lines) + 1))


def test_a_budget_beyond_all_pairs_makes_no_rows_for_it():
    lengths = np.full(5003, 7)
    for limit in ({"tokens_per_batch": 2**31 - 1}, {"tokens_per_batch": None, "batch_size": 2**30}):
        (bucket,) = plan_buckets(lengths, lengths, num_buckets=1, **limit)
        assert bucket.rows == 5003
