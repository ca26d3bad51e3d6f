import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from batch_contents import training_batches

from flax_transformer.data.batches.batches import Batches
from flax_transformer.data.batches.prefetching import training_pipeline
from flax_transformer.data.datasets import parallel_files, split
from flax_transformer.data.datasets.datasets import read_pairs
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.data.tokens import tokenized_splits
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenized_splits import make_tokenizer, tokenize_pairs
from flax_transformer.data.tokens.tokenizer import EOS, Tokenizer
from flax_transformer.errors import UserError

pytestmark = pytest.mark.platforms

TOKENIZER = Tokenizer.train(["a b c"], vocab_size=259)  # one token a byte


@pytest.fixture
def text_config(tmp_path) -> ParallelTextConfig:
    """Pairs of which every second cannot be trained on at a maximum of 7 tokens."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("two\n \nthree\nseventeen\nsix\nfive\n\n")
    target.write_text("zwei\nleer\ndrei\nx\nsechs\n\nsieben\n")
    paths: Any = {
        f"{split}_{side}": str(tmp_path / side)
        for split in ("train", "validation")
        for side in ("source", "target")
    }
    return ParallelTextConfig(
        dataset="text_files", data_dir=str(tmp_path / "prepared"), max_length=7, **paths
    )


@pytest.fixture(params=[None, 29], ids=["by length", "packed"])
def batches(request) -> Batches:
    lengths = np.random.default_rng(0).integers(2, 23, size=(2, 211))
    source, target = (
        TokenizedText.of([*range(3, length + 2), EOS] for length in side) for side in lengths
    )
    return training_batches(TokenizedPairs(source, target), 101, 5, row_length=request.param)


def texts(side: TokenizedText) -> list[str]:
    return [TOKENIZER.decode(ids) for ids in np.split(side.tokens, side.offsets[1:])[:-1]]


def same(one, other) -> bool:
    return all(np.array_equal(*sides) for sides in zip(one, other, strict=True))


def test_training_leaves_out_what_is_blank_or_too_long(text_config):
    pairs = tokenize_pairs(text_config, TOKENIZER, "train")
    assert texts(pairs.source) == ["two", "three", "six"]
    assert texts(pairs.target) == ["zwei", "drei", "sechs"]
    assert pairs.left_out == 4
    assert all(isinstance(array, np.memmap) for array in (pairs.source.tokens, pairs.target.tokens))


@pytest.mark.parametrize("size", [1, 2, 3])
def test_pairs_read_in_pieces_are_the_same(text_config, monkeypatch, tmp_path, size):
    whole = tokenize_pairs(text_config, TOKENIZER, "train")
    monkeypatch.setattr(tokenized_splits, "CHUNK_SIZE", size)
    config = dataclasses.replace(text_config, data_dir=str(tmp_path / "elsewhere"))
    pieces = tokenize_pairs(config, TOKENIZER, "train")
    assert all(map(same, whole[:2], pieces[:2]))
    assert pieces.left_out == whole.left_out


def test_a_split_with_nothing_to_train_on_is_refused(text_config):
    config = dataclasses.replace(text_config, max_length=2)
    with pytest.raises(UserError, match="none of the 7 pairs of train has two sides of 1 to 2"):
        tokenize_pairs(config, TOKENIZER, "train")


def test_the_tokenizer_is_trained_on_both_sides(number_words):
    config = dataclasses.replace(number_words, train_split="train[:101]")
    tokenizer = make_tokenizer(config)
    assert 259 < tokenizer.vocab_size <= config.vocab_size
    pair = read_pairs(number_words, "test")[0]
    assert all(len(tokenizer.encode(text)) < len(text.encode()) / 2 for text in pair[:2])
    assert tokenize_pairs(config, tokenizer, "train[:101]").num_pairs == 101


def test_of_many_pairs_the_tokenizer_is_trained_on_evenly_spread_ones(number_words):
    pairs = read_pairs(number_words, "train")[:101]
    config = dataclasses.replace(number_words, train_split="train[:101]", tokenizer_lines=30)
    spread = [text for pair in pairs[::4] for text in pair[:2]]
    expected = Tokenizer.train(spread, config.vocab_size)
    assert make_tokenizer(config).to_json() == expected.to_json()
    enough = dataclasses.replace(config, tokenizer_lines=101)
    everything = Tokenizer.train([text for pair in pairs for text in pair[:2]], config.vocab_size)
    assert make_tokenizer(enough).to_json() == everything.to_json()


def test_no_text_is_read_the_second_time(text_config, monkeypatch):
    tokenizer = make_tokenizer(text_config)
    pairs = tokenize_pairs(text_config, tokenizer, "train")
    monkeypatch.delattr(parallel_files._PairFiles, "read")
    same_tokenizer = make_tokenizer(text_config)
    same_pairs = tokenize_pairs(text_config, same_tokenizer, "train")
    assert same_tokenizer.to_json() == tokenizer.to_json()
    assert all(map(same, pairs[:2], same_pairs[:2]))
    assert same_pairs.left_out == pairs.left_out == 3


def test_text_goes_from_the_file_to_tokens_in_one_pass(text_config, monkeypatch):
    tokenizer = make_tokenizer(text_config)
    read, iterate = [], parallel_files._PairFiles.read
    monkeypatch.setattr(
        parallel_files._PairFiles, "read", lambda self: read.append(self) or iterate(self)
    )
    tokenize_pairs(text_config, tokenizer, "train")
    assert len(read) == 1
    prepared = Path(str(text_config.data_dir))
    assert {path.suffix for path in prepared.rglob("*") if path.is_file()} == {".json", ".npy"}


@pytest.mark.parametrize(
    "fields",
    [
        {"max_length": 17},
        {"train_split": "train[:5]"},
        {"train_split": "validation[:7]"},
        {"source_language": "fr"},
        {"target_language": "fr"},
        {"vocab_size": 263},
        {"train_split": "train[:9]", "max_length": 17},
    ],
    ids=str,
)
def test_what_is_kept_is_not_taken_for_another(number_words, monkeypatch, fields):
    def prepare(config):
        tokenizer = make_tokenizer(config)
        return tokenizer.to_json(), tokenize_pairs(config, tokenizer, config.train_split)

    first = dataclasses.replace(number_words, train_split="train[:7]")
    other = dataclasses.replace(first, **fields)
    prepare(first)
    tokenizer, pairs = prepare(other)

    def join(folder, key, make):
        pieces: list[Any] = [piece() if callable(piece) else piece for piece in make()]
        names = dict.fromkeys(name for piece in pieces for name in piece)
        return {name: np.concatenate([p[name] for p in pieces if name in p]) for name in names}

    monkeypatch.setattr(split, "keep", join)
    made_tokenizer, made_pairs = prepare(other)
    assert tokenizer == made_tokenizer
    assert all(map(same, pairs[:2], made_pairs[:2]))


def test_the_pipeline_gives_the_batches_of_the_steps(batches):
    steps = batches.batches_per_epoch + 3
    pipeline = training_pipeline(batches)
    assert all(same(next(pipeline), batches[step]) for step in range(steps))


def test_the_pipeline_starts_at_any_step(batches):
    step = 2 * batches.batches_per_epoch + 1
    assert same(next(training_pipeline(batches, step)), batches[step])


def test_a_restored_position_continues_exactly(batches):
    pipeline = training_pipeline(batches, start_step=5)
    for _ in range(7):
        next(pipeline)
    state = json.loads(json.dumps(pipeline.get_state()))
    expected = [next(pipeline) for _ in range(11)]
    restored = training_pipeline(batches)
    restored.set_state(state)
    assert all(same(next(restored), batch) for batch in expected)


def test_an_error_in_a_thread_reaches_the_consumer(batches, monkeypatch):
    def broken(self, step):
        if step == 3:
            raise RuntimeError("batch 3 is broken")
        return step

    monkeypatch.setattr(Batches, "__getitem__", broken)
    pipeline = training_pipeline(batches)
    assert [next(pipeline) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="batch 3 is broken"):
        next(pipeline)
