import itertools

import numpy as np
import pytest

from flax_transformer.data.files import kept_arrays
from flax_transformer.errors import UserError

# As tokens are kept: pieces of several arrays, of which one comes only at the end.
PIECES = [
    {"tokens": np.array([5, 2], np.int32), "lengths": np.array([2])},
    {"tokens": np.array([], np.int32), "lengths": np.array([], int)},
    {"tokens": np.array([7, 11, 2, 2], np.int32), "lengths": np.array([3, 1])},
    {"left_out": np.array([3])},
]
WHOLE = {"tokens": [5, 2, 7, 11, 2, 2], "lengths": [2, 3, 1], "left_out": [3]}
ROWS = [
    {"inputs": np.full((1, 2, 3), n, np.uint8), "labels": np.array([n], np.int32)}
    for n in (5, 7, 11)
]


class Maker:
    """Makes pieces, and counts how often."""

    def __init__(self, pieces):
        self.pieces, self.calls = pieces, 0

    def __call__(self):
        self.calls += 1
        return iter(self.pieces)


def as_lists(arrays) -> dict:
    assert arrays["tokens"].dtype == np.int32
    return {name: array.tolist() for name, array in arrays.items()}


def keep(folder, key=("key",), make=None) -> dict:
    return as_lists(kept_arrays.keep(folder, list(key), make or Maker(PIECES)))


def test_what_is_kept_is_made_once_and_lies_in_files(tmp_path):
    make = Maker(PIECES)
    for _ in range(3):
        arrays = kept_arrays.keep(tmp_path, ["key"], make)
        assert as_lists(arrays) == WHOLE
        assert all(isinstance(array, np.memmap) for array in arrays.values())
    assert make.calls == 1
    suffixes = sorted(path.suffix for path in (tmp_path / kept_arrays.FOLDER).iterdir())
    assert suffixes == [".json", ".npy", ".npy", ".npy"]


def test_numpy_reads_the_files(tmp_path):
    keep(tmp_path)
    found = {path.stem.partition("-")[2]: np.load(path) for path in tmp_path.rglob("*.npy")}
    assert as_lists(found) == WHOLE


def test_another_key_or_version_is_another_file(tmp_path, monkeypatch):
    make = Maker(PIECES)
    for key in (["train", 64], ["train", 65], ["train[:5]", 64]):
        keep(tmp_path, key, make)
    monkeypatch.setattr(kept_arrays, "VERSION", kept_arrays.VERSION + 1)
    keep(tmp_path, ["train", 64], make)
    assert make.calls == 4


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def empty(path):
    path.write_bytes(b"")


def pickle(path):
    with path.open("wb") as file:
        np.save(file, np.array([object()]), allow_pickle=True)


@pytest.mark.parametrize("damage", [cut, empty, pickle, lambda path: path.unlink()])
@pytest.mark.parametrize("which", range(4))
def test_damaged_arrays_are_made_again(tmp_path, damage, which):
    keep(tmp_path)
    damage(sorted((tmp_path / kept_arrays.FOLDER).iterdir())[which])
    make = Maker(PIECES)
    for _ in range(2):
        assert keep(tmp_path, make=make) == WHOLE
    assert make.calls == 1


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    append, folders = kept_arrays._GrowingArray.append, []

    def full(self, rows):
        folders.append(self)
        if len(folders) == 2:
            raise OSError("no space left on device")
        append(self, rows)

    monkeypatch.setattr(kept_arrays._GrowingArray, "append", full)
    assert keep(tmp_path) == WHOLE
    assert not list((tmp_path / kept_arrays.FOLDER).iterdir())


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    folder = tmp_path / "not" / "there"
    assert keep(folder) == WHOLE
    assert not folder.exists()


def test_what_cannot_be_made_leaves_nothing_behind(tmp_path):
    def make():
        yield PIECES[0]
        raise UserError("damaged")

    with pytest.raises(UserError, match="damaged"):
        kept_arrays.keep(tmp_path, ["key"], make)
    assert not list((tmp_path / kept_arrays.FOLDER).iterdir())


def change_bit(content: bytes, place: int, bit: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


@pytest.mark.filterwarnings("ignore:Data type alias")  # which a changed bit causes
@pytest.mark.parametrize("which", range(4))
def test_no_changed_byte_of_a_kept_file_passes_unnoticed(tmp_path, which):
    keep(tmp_path)
    path = sorted((tmp_path / kept_arrays.FOLDER).iterdir())[which]
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(change_bit(whole, place, place % 8))
        assert keep(tmp_path) == WHOLE


def assert_are_rows(arrays):
    assert set(arrays) == {"inputs", "labels"}
    assert arrays["inputs"].tolist() == [row["inputs"][0].tolist() for row in ROWS]
    assert arrays["labels"].tolist() == [5, 7, 11]
    assert [arrays[name].dtype for name in ("inputs", "labels")] == [np.uint8, np.int32]


def keep_rows(folder):
    return kept_arrays.keep(folder, ["key"], Maker(ROWS), is_checked=False)


@pytest.mark.filterwarnings("ignore:Data type alias")  # which a changed bit causes
@pytest.mark.parametrize("which", [0, 1])
def test_a_changed_description_is_found_without_reading_all(tmp_path, which):
    assert_are_rows(keep_rows(tmp_path))
    path = sorted((tmp_path / kept_arrays.FOLDER).iterdir())[which]
    whole = path.read_bytes()
    shape = whole.index(b")")  # behind it are only spaces
    for place, bit in itertools.product(range(whole.index(b"descr"), shape), range(8)):
        path.write_bytes(change_bit(whole, place, bit))
        assert_are_rows(keep_rows(tmp_path))
