import dataclasses
import pathlib
import subprocess
import sys
from typing import Any

import pytest
import tensorflow_datasets as tfds
from prepared import read_texts

from flax_transformer.data import data_config, parallel_text_config
from flax_transformer.data.datasets import number_words as numbers
from flax_transformer.data.datasets import prepared
from flax_transformer.data.datasets.datasets import DATASETS, open_split, read_pairs
from flax_transformer.data.datasets.split import Pair
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.errors import UserError


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"vocab_size": 258}, r"--data\.vocab-size must be at least 259, not 258"),
        ({"max_length": 1}, r"--data\.max-length must be at least 2, not 1"),
        ({"batch_size": 0}, r"--data\.batch-size must be at least 1, not 0"),
        (
            {"batch_size": 31, "tokens_per_batch": 997},
            "--data.batch-size 31 and --data.tokens-per-batch 997 both set .* is 4096",
        ),
        ({"batch_scope": "devices"}, "unknown --data.batch-scope 'devices': did you mean 'device'"),
        (
            {"batch_size": 31, "packing": True},
            "--data.batch-size 31 counts pairs, .* give --data.tokens-per-batch",
        ),
        (
            {"tokens_per_batch": 127},
            "tokens-per-batch 127 is below --data.max-length 128",
        ),
        ({"num_buckets": 0}, r"--data\.num-buckets must be at least 1, not 0"),
        ({"target_language": "en"}, "source-language and --data.target-language are both 'en'"),
        (
            {"target_language": "dee"},
            r"unknown --data\.target-language of number_words 'dee': did",
        ),
        (
            {"train_source": "a.txt"},
            "--data.train-source is set, but number_words does not read it",
        ),
        ({"form": "tokenized"}, "--data.form is set, but number_words does not read it"),
        ({"manual_dir": "."}, "--data.manual-dir is set, but number_words does not read it"),
        (
            {"dataset": "wmt14_translate/de-en", "form": "tokenized"},
            "--data.form is set, but wmt14",
        ),
    ],
)
def test_impossible_values_are_refused(fields, message):
    with pytest.raises(UserError, match=message) as error:
        ParallelTextConfig(**fields)
    assert "\n" not in str(error.value)


NEEDED_FILES = ("train_source", "train_target", "validation_source", "validation_target")


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        ((), "train_source"),
        (NEEDED_FILES[:3], "validation_target"),
        ((*NEEDED_FILES, "test_source"), "test_target"),
    ],
)
def test_text_files_are_asked_for_when_a_split_is_opened(given, missing):
    files: Any = dict.fromkeys(given, "a.txt")
    config = ParallelTextConfig(dataset="text_files", **files)
    option = missing.replace("_", "-")
    with pytest.raises(UserError, match=f"needs --data.{option}: give a file"):
        open_split(config, "train")


@pytest.mark.parametrize(
    ("fields", "limits"),
    [
        ({}, (4096, None)),
        ({"batch_scope": "device"}, (3 * 4096, None)),
        ({"batch_size": 31}, (None, 31)),
        ({"batch_size": 31, "batch_scope": "device"}, (None, 3 * 31)),
        # Sentences longer than the default number of tokens are counted by pairs.
        ({"batch_size": 31, "max_length": 4099}, (None, 31)),
    ],
)
def test_an_update_is_as_large_as_it_is_said_to_be(fields, limits):
    assert ParallelTextConfig(**fields).limits(num_devices=3) == limits


def test_every_field_is_documented():
    modules = parallel_text_config, data_config
    source = "".join(pathlib.Path(str(m.__file__)).read_text() for m in modules)
    for field in dataclasses.fields(ParallelTextConfig):
        line = source.split(f"\n    {field.name}: ")[1].split("\n")[1]
        assert line.strip().startswith('"""'), field.name


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_is_described_in_a_line(name):
    assert 20 < len(DATASETS[name].description) < 80


def test_a_split_is_a_sequence_of_pairs(number_words):
    split = open_split(number_words, "test")
    pairs = read_pairs(number_words, "test")
    assert len(split) == len(pairs) == 1_000
    assert isinstance(pairs[7], Pair)
    assert all(isinstance(text, str) for text in pairs[7][:2])
    assert [Pair(**record) for record in split] == pairs
    assert [Pair(**record) for record in split.first(3)] == pairs[:3]


def test_a_part_of_a_split_is_its_first_pairs(number_words):
    assert read_texts(number_words, "train[:7]") == read_texts(number_words, "train")[:7]


def test_an_unknown_split_names_those_there_are(number_words):
    with pytest.raises(UserError, match=r"'tset': did you mean 'test'.*test, train, validation"):
        open_split(number_words, "tset")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"train_split": "tset"}, r"--data\.train-split"),
        ({"validation_split": "tset"}, r"--data\.validation-split"),
        ({"test_split": "tset"}, r"--data\.test-split"),
        ({}, "--split"),
    ],
)
def test_an_unknown_split_is_reported_with_the_option_that_gave_it(number_words, fields, named):
    config = dataclasses.replace(number_words, **fields)
    with pytest.raises(UserError, match=f"^unknown {named} of number_words 'tset': "):
        open_split(config, "tset")


@pytest.fixture
def three_numbers(monkeypatch):
    monkeypatch.setattr(numbers, "SPLIT_SIZES", {"test": 3})
    monkeypatch.setattr(numbers, "DRAWN_BELOW", {3: 3})


@pytest.mark.usefixtures("three_numbers")
def test_preparing_prints_nothing(tmp_path, capsys):
    open_split(ParallelTextConfig(data_dir=str(tmp_path)), "test")
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("three_numbers")
def test_an_interrupted_preparation_is_done_again(tmp_path, monkeypatch):
    def interrupted(numbers):
        yield dict.fromkeys(("en", "de", "fr"), "null") | {"number": 0}
        raise KeyboardInterrupt

    config = ParallelTextConfig(data_dir=str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(numbers, "spell", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_split(config, "test")
    assert {target for _, target in read_texts(config, "test")} == {"null", "eins", "zwei"}


@pytest.mark.usefixtures("three_numbers")
def test_two_processes_may_prepare_the_same_data(tmp_path, monkeypatch):
    prepare: Any = prepared._Builder.download_and_prepare

    def second(self, **options):
        prepare(self, **options)
        raise OSError("the folder is already there")

    monkeypatch.setattr(prepared._Builder, "download_and_prepare", second)
    assert len(open_split(ParallelTextConfig(data_dir=str(tmp_path)), "test")) == 3


@pytest.mark.parametrize(
    ("name", "languages"),
    [("wmt14_translate/de-en", ("de", "en")), ("ted_hrlr_translate/pt_to_en", ("pt", "en"))],
)
def test_a_tfds_name_is_a_data_set(name, languages):
    source, target = languages
    config = ParallelTextConfig(dataset=name, source_language=source, target_language=target)
    with tfds.testing.mock_data(num_examples=7):
        pairs = read_texts(config, "train")
        unknown = rf"unknown --data\.target-language of {name} 'fr'; known: .*{source}"
        with pytest.raises(UserError, match=unknown):
            open_split(dataclasses.replace(config, target_language="fr"), "train")
    assert len(pairs) == 7
    assert all(isinstance(text, str) and text for pair in pairs for text in pair)


def test_unknown_data_sets_get_a_suggestion():
    with pytest.raises(UserError, match="'nubmer_words': did you mean 'number_words'"):
        open_split(ParallelTextConfig(dataset="nubmer_words"), "train")
    with pytest.raises(UserError, match="did you mean 'wmt14_translate'"):
        open_split(ParallelTextConfig(dataset="wmt14_translat/de-en"), "train")
    with pytest.raises(UserError, match=r"variant of --data\.dataset wmt14_translate 'de-em': did"):
        open_split(ParallelTextConfig(dataset="wmt14_translate/de-em"), "train")


def test_the_configuration_imports_no_heavy_library():
    heavy = ("jax", "flax", "tensorflow", "tensorflow_datasets", "grain")
    module = "flax_transformer.data.parallel_text_config, flax_transformer.data.pixels_config"
    code = f"import sys, {module}; print(*set({heavy}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
