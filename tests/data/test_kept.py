import itertools

import numpy as np
import pytest
from flax_transformer.data.tokens.kept_tokens import Kept

from flax_transformer.data.tokens import kept_tokens as kept
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenizer import EOS, Tokenizer
from flax_transformer.errors import UserError

PAIRS = TokenizedPairs(
    TokenizedText.of([[5, EOS], [7, 11, EOS]]), TokenizedText.of([[EOS], [13, EOS]]), left_out=3
)


def make_tokenizer() -> Tokenizer:
    return Tokenizer.train(["two", "twenty-two"], vocab_size=263)


class Maker:
    """Makes a thing, and counts how often."""

    def __init__(self, make):
        self.make, self.calls = make, 0

    def __call__(self):
        self.calls += 1
        return self.make()


def as_lists(pairs: TokenizedPairs) -> list:
    arrays = [array.tolist() for side in pairs[:2] for array in side]
    return [*arrays, pairs.left_out, pairs.source.tokens.dtype, pairs.target.offsets.dtype]


def test_what_is_kept_is_made_once_and_comes_back(tmp_path):
    make = Maker(lambda: PAIRS), Maker(make_tokenizer)
    for _ in range(3):
        pairs = Kept(tmp_path).pairs(["key"], make[0])
        tokenizer = Kept(tmp_path).tokenizer(["key"], make[1])
        assert as_lists(pairs) == as_lists(PAIRS)
        assert tokenizer.encode("twenty") == make_tokenizer().encode("twenty")
    assert [maker.calls for maker in make] == [1, 1]
    assert sorted(path.suffix for path in Kept(tmp_path).folder.iterdir()) == [".npz", ".npz"]


def test_another_key_or_version_is_another_file(tmp_path, monkeypatch):
    make = Maker(lambda: PAIRS)
    for key in (["train", 64], ["train", 65], ["train[:5]", 64]):
        Kept(tmp_path).pairs(key, make)
    monkeypatch.setattr(kept, "VERSION", kept.VERSION + 1)
    Kept(tmp_path).pairs(["train", 64], make)
    assert make.calls == 4


def cut(path):
    path.write_bytes(path.read_bytes()[:-101])


def flip(path):
    """Changes a bit in the midst of the first array."""
    content = bytearray(path.read_bytes())
    content[content.index(np.int32(5).tobytes() + np.int32(EOS).tobytes())] ^= 1
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def pickle(path):
    np.savez(path, source_tokens=np.array([object()]))


@pytest.mark.parametrize("damage", [cut, flip, empty, pickle])
def test_damaged_pairs_are_made_again(tmp_path, damage):
    Kept(tmp_path).pairs(["key"], lambda: PAIRS)
    (path,) = Kept(tmp_path).folder.iterdir()
    damage(path)
    make = Maker(lambda: PAIRS)
    for _ in range(2):
        assert as_lists(Kept(tmp_path).pairs(["key"], make)) == as_lists(PAIRS)
    assert make.calls == 1


@pytest.mark.parametrize("damage", [cut, empty])
def test_a_damaged_tokenizer_is_made_again(tmp_path, damage):
    Kept(tmp_path).tokenizer(["key"], make_tokenizer)
    (path,) = Kept(tmp_path).folder.iterdir()
    damage(path)
    make = Maker(make_tokenizer)
    for _ in range(2):
        Kept(tmp_path).tokenizer(["key"], make)
    assert make.calls == 1


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(file, **arrays):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "savez", full)
    assert as_lists(Kept(tmp_path).pairs(["key"], lambda: PAIRS)) == as_lists(PAIRS)
    assert not list(Kept(tmp_path).folder.iterdir())


def test_a_folder_that_cannot_be_made_is_no_error(tmp_path):
    folder = tmp_path / "not" / "there"
    assert as_lists(Kept(folder).pairs(["key"], lambda: PAIRS)) == as_lists(PAIRS)
    Kept(folder).tokenizer(["key"], make_tokenizer)
    assert not folder.exists()


ROWS = [{"inputs": np.full((2, 3), n, np.uint8), "labels": np.int32(n)} for n in (5, 7, 11)]
NAMES = ("inputs", "labels")


def assert_are_rows(arrays):
    assert set(arrays) == set(NAMES)
    assert arrays["inputs"].tolist() == [row["inputs"].tolist() for row in ROWS]
    assert arrays["labels"].tolist() == [5, 7, 11]
    assert [arrays[name].dtype for name in NAMES] == [np.uint8, np.int32]


def test_rows_are_made_once_and_lie_in_files(tmp_path):
    make = Maker(lambda: iter(ROWS))
    for _ in range(2):
        arrays = Kept(tmp_path).rows(["key"], NAMES, 3, make)
        assert_are_rows(arrays)
        assert all(isinstance(array, np.memmap) for array in arrays.values())
    assert make.calls == 1
    assert [path.suffix for path in Kept(tmp_path).folder.iterdir()] == [".npy", ".npy"]


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(path.read_bytes()[:-1]), empty])
@pytest.mark.parametrize("which", [0, 1])
def test_damaged_rows_are_made_again(tmp_path, damage, which):
    Kept(tmp_path).rows(["key"], NAMES, 3, lambda: iter(ROWS))
    damage(sorted(Kept(tmp_path).folder.iterdir())[which])
    make = Maker(lambda: iter(ROWS))
    for _ in range(2):
        assert_are_rows(Kept(tmp_path).rows(["key"], NAMES, 3, make))
    assert make.calls == 1


def change_bit(content: bytes, place: int, bit: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1 :]


def test_no_changed_byte_of_a_kept_file_passes_unnoticed(tmp_path):
    kept = Kept(tmp_path)
    kept.pairs(["key"], lambda: PAIRS)
    (path,) = kept.folder.iterdir()
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(change_bit(whole, place, place % 8))
        assert as_lists(kept.pairs(["key"], lambda: PAIRS)) == as_lists(PAIRS)


def test_no_changed_letter_of_a_kept_tokenizer_passes_unnoticed(tmp_path):
    right = make_tokenizer().to_json()
    Kept(tmp_path).tokenizer(["key"], make_tokenizer)
    (path,) = Kept(tmp_path).folder.iterdir()
    whole = path.read_bytes()
    for letter in {b"a", b"b", b"1"}:  # in most places this is still a tokenizer
        path.write_bytes(whole.replace(letter, b"c", 1))
        assert Kept(tmp_path).tokenizer(["key"], make_tokenizer).to_json() == right


@pytest.mark.filterwarnings("ignore:Data type alias")  # which a changed bit causes
@pytest.mark.parametrize("which", [0, 1])
def test_a_changed_description_of_rows_is_found(tmp_path, which):
    Kept(tmp_path).rows(["key"], NAMES, 3, lambda: iter(ROWS))
    path = sorted(Kept(tmp_path).folder.iterdir())[which]
    whole = path.read_bytes()
    shape = whole.index(b")")  # behind it are only spaces
    for place, bit in itertools.product(range(whole.index(b"descr"), shape), range(8)):
        path.write_bytes(change_bit(whole, place, bit))
        assert_are_rows(Kept(tmp_path).rows(["key"], NAMES, 3, lambda: iter(ROWS)))


def test_rows_that_cannot_be_written_are_in_memory(tmp_path):
    folder = tmp_path / "not" / "there"
    assert_are_rows(Kept(folder).rows(["key"], NAMES, 3, lambda: iter(ROWS)))
    assert not folder.exists()


def test_rows_that_cannot_be_made_leave_nothing_behind(tmp_path):
    def make():
        yield ROWS[0]
        raise UserError("damaged")

    with pytest.raises(UserError, match="damaged"):
        Kept(tmp_path).rows(["key"], NAMES, 3, make)
    assert not list(Kept(tmp_path).folder.iterdir())
