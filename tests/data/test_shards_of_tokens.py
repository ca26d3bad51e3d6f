"""Several machines tokenize parts of a split, which are then put together."""

import dataclasses
from functools import partial

import numpy as np
import pytest
from small import make_experiment

from flax_transformer.data.files import kept_arrays
from flax_transformer.data.files.kept_arrays import keep, only_shard
from flax_transformer.data.tokens import tokenized_splits
from flax_transformer.data.tokens.tokenized_splits import make_tokenizer, tokenize_pairs
from flax_transformer.data.tokens.tokenizer import Tokenizer


class Maker:
    """Makes one piece that is there, and five by functions; notes which functions were called."""

    def __init__(self):
        self.called = []

    def __call__(self):
        yield {"tokens": np.array([2], np.int32)}
        for number in range(5):
            yield partial(self.make, number)

    def make(self, number):
        self.called.append(number)
        return {"tokens": np.full(number, number, np.int32)}


WHOLE = [2, 1, 2, 2, 3, 3, 3, 4, 4, 4, 4]


def files(folder):
    return sorted(path.name for path in (folder / kept_arrays.FOLDER).iterdir())


@pytest.mark.parametrize("shards", [[0, 1, 2], [1], []], ids=str)
def test_parts_are_put_together_and_missing_ones_are_made(tmp_path, shards):
    found = []
    for index in shards:
        make = Maker()
        with only_shard(index, 3):
            found.append(keep(tmp_path, "key", make)["tokens"].tolist())
            keep(tmp_path, "key", make)
        # Places count the piece that is there, too; the second time nothing is made.
        assert make.called == [n for n in range(5) if (n + 1) % 3 == index]
    if shards == [0, 1, 2]:
        assert found == [[2, 2, 2], [2, 3, 3, 3], [2, 1, 4, 4, 4, 4]]
    make = Maker()
    assert keep(tmp_path, "key", make)["tokens"].tolist() == WHOLE
    made = {n for index in shards for n in range(5) if (n + 1) % 3 == index}
    assert make.called == [n for n in range(5) if n not in made]
    assert len(files(tmp_path)) == 2


def test_a_damaged_part_is_made_again(tmp_path):
    with only_shard(1, 3):
        keep(tmp_path, "key", Maker())
    (path,) = tmp_path.rglob("*.4-tokens.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    make = Maker()
    assert keep(tmp_path, "key", make)["tokens"].tolist() == WHOLE
    assert 3 in make.called


def test_a_shard_without_a_piece_has_the_first_one_and_keeps_nothing(tmp_path):
    make = Maker()
    with only_shard(6, 7):
        assert keep(tmp_path, "key", make)["tokens"].tolist() == [2]
    assert make.called == [0]
    assert files(tmp_path) == []


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.setattr(tokenized_splits, "CHUNK_SIZE", 3)
    monkeypatch.setattr(tokenized_splits, "GROUP_SIZE", 40)
    return make_experiment(tmp_path).data


def test_pairs_of_shards_are_those_of_one_machine(config, tmp_path):
    tokenizer = make_tokenizer(config)
    expected = tokenize_pairs(config, tokenizer, "train")
    elsewhere = dataclasses.replace(config, data_dir=str(tmp_path / "shared"))
    for index in range(3):
        with only_shard(index, 3):
            part = tokenize_pairs(elsewhere, make_tokenizer(elsewhere), "train")
            assert 0 < len(part.source.lengths) < len(expected.source.lengths)
    found = tokenize_pairs(elsewhere, make_tokenizer(elsewhere), "train")
    for side in ("source", "target"):
        for field in ("tokens", "offsets"):
            np.testing.assert_array_equal(
                getattr(getattr(found, side), field), getattr(getattr(expected, side), field)
            )
    assert found.left_out == expected.left_out


@pytest.mark.parametrize("is_local", [True, False])
def test_a_stream_does_not_depend_on_its_groups(monkeypatch, is_local):
    tokenizer = Tokenizer.of_characters(["abc \n"])
    monkeypatch.setattr(type(tokenizer), "is_local", is_local)
    documents = [["ab\n", "ba\n", "c"], ["abc"], ["a", "b"]]
    marks, ids = tokenizer.eos_id, tokenizer.encode
    expected = [marks]
    for parts in documents:
        expected += [*ids("".join(parts)), marks]
    for size in (1, 4, 100):
        monkeypatch.setattr(tokenized_splits, "GROUP_SIZE", size)
        groups = tokenized_splits._stream_groups(tokenizer, documents)
        arrays = [tokenized_splits._stream_arrays(tokenizer, group)["tokens"] for group in groups]
        assert np.concatenate(arrays).tolist() == expected
