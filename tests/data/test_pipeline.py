import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from flax_transformer.data.batches.batching import TrainingBatches
from flax_transformer.data.batches.pipeline import (
    prepare_pairs,
    prepare_training,
    training_pipeline,
)
from flax_transformer.data.datasets.parallel_datasets import (
    ParallelTextConfig,
    open_split,
)
from flax_transformer.data.datasets.parallel_text import ParallelText
from flax_transformer.data.tokens.kept_tokens import Kept

from flax_transformer.data.datasets import parallel_text
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
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
def batches(request) -> TrainingBatches:
    lengths = np.random.default_rng(0).integers(2, 23, size=(2, 211))
    source, target = (
        TokenizedText.of([*range(3, length + 2), EOS] for length in side) for side in lengths
    )
    return TrainingBatches(TokenizedPairs(source, target), 101, 5, row_length=request.param)


def texts(side: TokenizedText) -> list[str]:
    return [TOKENIZER.decode(ids) for ids in np.split(side.tokens, side.offsets[1:])[:-1]]


def same(one, other) -> bool:
    return all(np.array_equal(*sides) for sides in zip(one, other, strict=True))


def test_training_leaves_out_what_is_blank_or_too_long(text_config):
    pairs = prepare_pairs(text_config, TOKENIZER, "train")
    assert texts(pairs.source) == ["two", "three", "six"]
    assert texts(pairs.target) == ["zwei", "drei", "sechs"]
    assert pairs.left_out == 4


def test_other_splits_keep_every_pair_cut_to_the_maximum(text_config):
    pairs = prepare_pairs(text_config, TOKENIZER, "validation")
    assert texts(pairs.source) == ["two", " ", "three", "sevent", "six", "five", ""]
    assert pairs.left_out == 0
    assert all(side.tokens[end - 1] == EOS for side in pairs[:2] for end in side.offsets[1:])


def test_a_split_with_nothing_to_train_on_is_refused(text_config):
    config = dataclasses.replace(text_config, max_length=2)
    with pytest.raises(UserError, match="none of the 7 pairs of train has two sides of 1 to 2"):
        prepare_pairs(config, TOKENIZER, "train")


def test_the_tokenizer_is_trained_on_both_sides_and_read_where_there_is_one(
    number_words, tmp_path, monkeypatch
):
    config = dataclasses.replace(number_words, train_split="train[:101]")
    path = tmp_path / "tokenizer.json"
    trained, pairs = prepare_training(config, path)
    assert not path.exists()
    assert 259 < trained.vocab_size <= config.vocab_size
    pair = open_split(number_words, "test")[0]
    assert all(len(trained.encode(text)) < len(text.encode()) / 2 for text in pair)
    assert pairs.num_pairs == 101
    trained.save(path)
    monkeypatch.delattr(Tokenizer, "train")
    monkeypatch.setattr(Kept, "tokenizer", None)
    read, _ = prepare_training(config, path)
    assert read.encode(pair.target) == trained.encode(pair.target)


@pytest.mark.usefixtures("unchecked_types")  # it looks into sequences
def test_no_text_is_read_the_second_time(text_config, tmp_path, monkeypatch):
    path = tmp_path / "tokenizer.json"
    tokenizer, pairs = prepare_training(text_config, path)
    monkeypatch.delattr(parallel_text, "read_records")
    monkeypatch.delattr(ParallelText, "_pair")
    same_tokenizer, same_pairs = prepare_training(text_config, path)
    assert same_tokenizer.to_json() == tokenizer.to_json()
    assert all(map(same, pairs[:2], same_pairs[:2]))
    assert same_pairs.left_out == pairs.left_out == 3


def test_the_first_time_text_is_read_once(text_config, tmp_path, monkeypatch):
    read, iterate = [], ParallelText.__iter__
    monkeypatch.setattr(ParallelText, "__iter__", lambda self: read.append(self) or iterate(self))
    prepare_training(text_config, tmp_path / "tokenizer.json")
    assert len(read) == 1


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
def test_what_is_kept_is_not_taken_for_another(number_words, tmp_path, monkeypatch, fields):
    path = tmp_path / "tokenizer.json"
    first = dataclasses.replace(number_words, train_split="train[:7]")
    other = dataclasses.replace(first, **fields)
    prepare_training(first, path)
    tokenizer, pairs = prepare_training(other, path)
    unsplit = prepare_pairs(other, tokenizer, "train[:7]")
    monkeypatch.setattr(Kept, "tokenizer", lambda self, key, make: make())
    monkeypatch.setattr(Kept, "pairs", lambda self, key, make: make())
    made_tokenizer, made_pairs = prepare_training(other, path)
    assert tokenizer.to_json() == made_tokenizer.to_json()
    assert all(map(same, pairs[:2], made_pairs[:2]))
    made_unsplit = prepare_pairs(other, tokenizer, "train[:7]")
    assert all(map(same, unsplit[:2], made_unsplit[:2]))


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

    monkeypatch.setattr(TrainingBatches, "__getitem__", broken)
    pipeline = training_pipeline(batches)
    assert [next(pipeline) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="batch 3 is broken"):
        next(pipeline)
