"""A damaged file of prepared data gives one line that says what to delete, never other data."""

import contextlib
import dataclasses
import re
import shutil
from functools import partial
from typing import Any

import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_module import ArrayRecordWriter
from prepared import read_texts

from flax_transformer.data.datasets.datasets import DATASETS, Dataset, open_split
from flax_transformer.data.datasets.prepared import open_recipe
from flax_transformer.data.datasets.recipe import Recipe
from flax_transformer.data.files.pixel_splits import open_pixels
from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.data.pixels_config import ImagesConfig
from flax_transformer.data.tokens.tokenized_splits import tokenize_labeled
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError

NUM_PAIRS = 200
PAIRS = [(f"line {number} of it", f"Zeile {number} davon") for number in range(NUM_PAIRS)]
BLOCK = 2**16  # of an array_record, at which a cut file looks like one without records


NAME = "lines_of_tests"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The configuration of a small data set, registered here, and the folder where it is."""
    features: Any = dict.fromkeys(("source", "target"), tfds.features.Text())
    examples: Any = [dict(zip(features, pair, strict=True)) for pair in PAIRS]
    recipe = Recipe(NAME, "Lines.", features, lambda _: {"train": examples, "validation": examples})
    opened = partial(open_recipe, recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATASETS, NAME, Dataset("lines of the tests", "pair", opened))
        folder = tmp_path_factory.mktemp("whole")
        config = ParallelTextConfig(dataset=NAME, data_dir=str(folder / "prepared"))
        assert read_texts(config, "train") == PAIRS
        (info,) = folder.rglob("dataset_info.json")
        yield config, info.parent


@pytest.fixture
def damage(whole):
    """Changes one file of the prepared data set; gives the data set's configuration and folder."""
    config, folder = whole
    backup = folder.with_name("backup")
    shutil.copytree(folder, backup)

    def damage(pattern, change):
        (path,) = folder.glob(pattern)
        if change is None:
            path.unlink()
        else:
            path.write_bytes(change(path.read_bytes()))
        return config, folder

    yield damage
    shutil.rmtree(folder)
    backup.rename(folder)


def cut_half(content):
    return content[: len(content) // 2]


def cut_end(content):
    return content[:-1]


def empty(content):
    return b""


def flip(content):
    """Changes a byte within the records."""
    place = content.index(b"of it")
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def fill_with_zeros(content):
    return bytes(len(content))


SHARD, INFO = "*-train.array_record*", "dataset_info.json"


@pytest.mark.parametrize(
    ("pattern", "change", "reason"),
    [
        (SHARD, cut_half, "is cut or changed"),
        (SHARD, cut_end, "is cut or changed"),
        (SHARD, empty, "is cut or changed"),
        (SHARD, fill_with_zeros, "is cut or changed"),
        (SHARD, flip, "a record cannot be read"),
        (SHARD, None, "train.array_record-00000-of-00001 is missing"),
        (INFO, cut_half, "dataset_info.json cannot be read"),
        (INFO, empty, "dataset_info.json cannot be read"),
        (INFO, fill_with_zeros, "dataset_info.json cannot be read"),
        (INFO, None, "dataset_info.json is missing"),
        (INFO, lambda content: b"{}", "dataset_info.json is changed"),
        (INFO, lambda c: c.replace(b'"1.0.0"', b'"1.0.8"'), "dataset_info.json is changed"),
        (INFO, lambda c: c.replace(b'"array_record"', b'"array_recorf"'), "is changed"),
        (INFO, lambda c: c.replace(b"shardLengths", b"shardLemgths"), "cannot be"),
        (INFO, lambda c: c.replace(b'"200"', b'"100"', 1), "is cut or changed"),
    ],
)
def test_a_damaged_file_is_told_with_the_folder_to_delete(damage, pattern, change, reason):
    config, folder = damage(pattern, change)
    with pytest.raises(UserError, match=reason) as error:
        read_texts(config, "train")
    assert str(error.value).startswith(f"the prepared data in {folder} is damaged (")
    assert str(error.value).endswith("delete this folder, then the same command prepares it again")
    shutil.rmtree(folder)
    assert read_texts(config, "train") == PAIRS


@pytest.mark.parametrize("change", [cut_half, empty, flip, None])
def test_what_tfds_only_writes_changes_nothing(damage, change):
    config, _ = damage("features.json", change if change is not flip else cut_end)
    assert read_texts(config, "train") == PAIRS


def test_a_shard_with_fewer_records_is_refused(damage):
    config, folder = damage(SHARD, None)
    writer = ArrayRecordWriter(str(folder / f"{NAME}-train.array_record-00000-of-00001"), "")
    writer.write(b"")
    writer.close()
    with pytest.raises(UserError, match="is cut or changed"):
        open_split(config, "train")


def test_a_damaged_split_leaves_the_others_usable(damage):
    config, _ = damage(SHARD, None)
    assert read_texts(config, "validation") == PAIRS


def test_no_changed_byte_gives_other_text(damage, unchecked_types):
    # Unchecked, because the tests' type checker reads the first record itself.
    config, folder = damage(SHARD, lambda content: content)
    (path,) = folder.glob(SHARD)
    whole = path.read_bytes()
    records = whole.rstrip(b"\0").rfind(PAIRS[-1][0].encode()) + 100
    # The records, and the index after the first block; in between there are only zeros.
    for place in (*range(0, records, 101), *range(BLOCK, BLOCK + 200)):
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :]
        )
        with contextlib.suppress(UserError):
            assert read_texts(config, "train") == PAIRS, place


def test_a_preparation_that_was_killed_is_made_again(whole):
    config, folder = whole
    unfinished = folder.with_name(f"{folder.name}.incompleteABC123_{NAME}")
    unfinished.mkdir()
    shutil.copy(next(folder.glob(SHARD)), unfinished)
    assert read_texts(config, "train") == PAIRS
    shutil.rmtree(folder)
    assert read_texts(config, "train") == PAIRS


def test_damage_of_another_data_set_is_not_told(whole, tmp_path):
    config, _ = whole
    other = tmp_path / "prepared" / "other" / "1.0.0"
    other.mkdir(parents=True)
    (other / INFO).write_text("")
    beside = dataclasses.replace(config, data_dir=str(tmp_path / "prepared"))
    assert read_texts(beside, "train") == PAIRS


def damage_only(folder, pattern):
    """Empties the only file of a kind below a folder, and clears the cache of its contents."""
    (path,) = folder.rglob(pattern)
    path.write_bytes(b"")
    shutil.rmtree(path.parent / "flax_transformer", ignore_errors=True)


def test_images_are_refused_likewise(tmp_path):
    pytest.importorskip("sklearn", reason="needs the extra images")
    config = ImagesConfig(dataset="digits", data_dir=str(tmp_path))
    assert len(open_pixels(config, "test").labels) == 300
    damage_only(tmp_path, "*-test.array_record*")
    with pytest.raises(UserError, match=r"digits-test.* is cut or changed"):
        open_pixels(config, "test")


class DamagedByTests(tfds.core.GeneratorBasedBuilder):
    """A data set that TFDS finds by its name."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        label = tfds.features.ClassLabel(names=["x", "y"])
        features = tfds.features.FeaturesDict({"text": tfds.features.Text(), "label": label})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"text": "one", "label": "x"}
        yield 1, {"text": "two", "label": "y"}


@pytest.mark.parametrize("pattern", [INFO, "*-train.array_record*"])
@pytest.mark.parametrize("change", [cut_half, empty, None, fill_with_zeros])
def test_data_sets_of_tfds_are_refused_likewise(tmp_path, pattern, change):
    config = LabeledTextConfig(dataset="damaged_by_tests", data_dir=str(tmp_path))
    tokenizer = Tokenizer.train(["one"], vocab_size=300)
    assert len(tokenize_labeled(config, tokenizer, "train").labels) == 2
    (path,) = tmp_path.rglob(pattern)
    if change is None:
        path.unlink()
    else:
        path.write_bytes(change(path.read_bytes()))
    with pytest.raises(
        UserError, match=re.escape(f"data in {path.parent} is damaged ({path.name}")
    ):
        tokenize_labeled(config, tokenizer, "train")
