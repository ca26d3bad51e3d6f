import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_is_error
from matplotlib.patches import StepPatch
from small import PAIRS

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.visualization.length_pictures import plot_lengths


@pytest.fixture
def files(folder):
    """Writes files into the folder of the commands; gives their names."""

    def write(**contents):
        for name, text in contents.items():
            path = folder / name.replace("_", ".")
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return [name.replace("_", ".") for name in contents]

    return write


ENGLISH = "".join(f"{pair.source}\n" for pair in PAIRS)
GERMAN = "".join(f"{pair.target}\n" for pair in PAIRS)


def found(result):
    """(check, where, count, severity) of the findings that were printed as JSON."""
    keys = ("check", "where", "count", "severity")
    return [tuple(one[key] for key in keys) for one in json.loads(result.out)["findings"]]


def test_clean_files_have_no_findings_and_the_exit_status_is_0(run, files):
    names = files(train_en=ENGLISH, train_de=GERMAN)
    result = run("doctor", *names)
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines() == ["examined train: 20 lines of pair", "found nothing"]
    printed = json.loads(run("doctor", *names, "--json").out)
    assert printed == {
        "serious": False,
        "examined": {"train": {"kind": "pair", "unit": "line", "number": 20}},
        "not_examined": [],
        "findings": [],
    }


def test_a_table_names_what_was_found_where_and_what_to_do(run, files):
    names = files(train_en=ENGLISH.replace("\n", "\r\n"), train_de=GERMAN)
    names += ["--test", *files(test_en="twenty two\nten\n", test_de="zwei und zwanzig\nzehn\n")]
    result = run("doctor", *names)
    assert result.code == 1
    assert re.search(
        r"overlap in test .* serious .* 1 of 2 lines, 50.0 % .* 1 .*remove", result.out
    )
    assert re.search(
        r"crlf in train.en .* note .* 20 of 20 lines, 100.0 % .* 1; 2; 3, \.", result.out
    )
    assert "  line 1: twenty two → zwei und zwanzig (line 1 of train)\n" in result.out
    assert found(run("doctor", *names, "--json")) == [
        ("overlap", "test", 1, "serious"),
        ("crlf", "train.en", 20, "note"),
    ]


def test_faults_of_encoding_end_neither_the_command_nor_the_other_checks(run, files, folder):
    latin = (ENGLISH + "f\xfcnf\n").encode("latin-1")
    names = files(bad_en=latin, bad_de=GERMAN + "eins\n")
    test = files(test_en="ten\nten\n", test_de="zehn\nzehn\n")
    result = run("doctor", *names, "--test", *test, "--json")
    assert result.code == 1
    assert found(result) == [
        ("invalid_utf8", "bad.en", 1, "serious"),
        ("unreadable", "train", 1, "serious"),
        ("duplicate", "test", 1, "warning"),
    ]
    (place,) = json.loads(result.out)["findings"][0]["places"]
    assert place["note"] == f"byte {len(ENGLISH) + 1:,} of the file"
    assert place["number"] == 21


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("three\n", "train.en has 20 lines but .*other.de has 1: line N"),
        (GERMAN.encode("utf-16"), "other.de is UTF-16, not UTF-8 text"),
        ("", "other.de is empty"),
        (gzip.compress(GERMAN.encode())[:-9], "cannot read .*other.de"),
        (b"a\rb\r", "other.de ends its lines in carriage returns only"),
    ],
)
def test_what_a_training_refuses_is_serious(run, files, contents, message):
    result = run("doctor", *files(train_en=ENGLISH, other_de=contents), "--json")
    assert result.code == 1
    findings = json.loads(result.out)["findings"]
    notes = [one["places"][0]["note"] for one in findings if one["check"] == "unreadable"]
    assert any(re.search(message, note) for note in notes), notes


def test_all_splits_of_an_experiment_are_examined_with_its_tokenizer(run, folder, tmp_path):
    # Its validation files are its training files.
    result = run("doctor", "small.py", "--json", "--out", str(tmp_path / "lengths.svg"))
    assert result.code == 1
    printed = json.loads(result.out)
    assert {name: one["number"] for name, one in printed["examined"].items()} == {
        "train": 20,
        "validation": 20,
    }
    assert ("overlap", "validation", 20, "serious") in found(result)
    assert b"validation, target: median" in (tmp_path / "lengths.svg").read_bytes()


@pytest.mark.usefixtures("trained")
def test_a_workdir_gives_its_tokenizer_and_its_limit(run, files):
    long = " ".join(["twenty two"] * 24)
    names = files(train_en=f"{ENGLISH}{long}\n", train_de=f"{GERMAN}zwei\n")
    assert ("too_long", "train", 1, "warning") not in found(run("doctor", *names, "--json"))
    result = run("doctor", *names, "--json", "--workdir", "run")
    assert ("too_long", "train", 1, "warning") in found(result)


def test_a_tokenizer_of_others_shows_what_it_does_not_know(run, files, folder):
    Tokenizer.of_characters([ENGLISH + GERMAN]).save(folder / "letters.json")
    names = files(train_en=f"{ENGLISH}x\n", train_de=f"{GERMAN}ж\n")
    result = run("doctor", *names, "--json", "--tokenizer", "letters.json")
    assert ("unknown_token", "train", 1, "warning") in found(result)


def test_labeled_texts_with_a_new_class_in_the_test_set(run, files):
    rows = "".join(f"text {n}\t{'ab'[n % 2]}\n" for n in range(40))
    train = files(train_tsv=f"text\tlabel\n{rows}")
    test = files(test_tsv="text\tlabel\nnew\tc\n")
    result = run("doctor", *train, "--test", *test)
    assert result.code == 1
    assert re.search(r"missing_class in test .* serious .* 1 of 1 classes", result.out)
    assert "  first at 2: c (examples: 1)\n" in result.out


def test_invisible_characters_are_made_visible(run, files):
    names = files(train_en=ENGLISH + "ni\u200bne\n", train_de=GERMAN + "neun\n")
    assert "  line 21: ni[U+200B]ne\n" in run("doctor", *names).out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no data to examine: give files, such as train.en train.de, or an experiment"),
        (["nothing.en", "three.txt"], "nothing.en does not exist: give the path of a file"),
        (["three.txt"] * 3, "3 files of train: give one file, or two of parallel text"),
        (["smal.py"], "unknown experiment file 'smal.py': did you mean 'small.py'"),
        (["small.py", "--test", "three.txt"], "--test is given, but small.py has its own splits"),
        (
            ["three.txt", "--test", "three.txt", "three.txt"],
            "--test three.txt holds pair, but three.txt text: give files of the same kind",
        ),
        (
            ["three.txt", "--tokenizer", "a", "--workdir", "b"],
            "--tokenizer and --workdir both give a tokenizer: leave one out",
        ),
        (["three.txt", "--tokenizer", "gone.json"], "cannot read gone.json"),
        (["three.txt", "--workdir", "nothing"], "nothing holds no run"),
        (["three.txt", "--out", "missing/a.png"], "no folder missing for the picture a.png"),
    ],
)
def test_a_mistake_gets_one_line(run, words, message):
    assert_is_error(run("doctor", *words), message)


def test_an_experiment_of_images_has_only_its_classes_examined(run, folder, tmp_path):
    pytest.importorskip("sklearn", reason="digits need the extra images")
    experiment = Path(__file__).parents[2] / "experiments" / "digits.py"
    text = experiment.read_text().replace(
        "ImagesConfig(", f"ImagesConfig(data_dir={str(tmp_path)!r}, "
    )
    (folder / "digits.py").write_text(text)
    result = run("doctor", "digits.py", "--json")
    assert (result.code, found(result)) == (0, [])
    assert json.loads(result.out)["examined"]["train"]["kind"] == "image"
    assert_is_error(run("doctor", "digits.py", "--out", "a.png"), "--out a.png: no texts were read")


def test_the_picture_counts_every_text_once():
    lengths = np.array([3, 5, 5, 900])
    figure = plot_lengths({"a": lengths, "none": lengths[:0]}, "characters")
    (patch,) = figure.axes[0].patches
    assert isinstance(patch, StepPatch)
    shares, edges, _ = patch.get_data()
    assert shares.sum() == pytest.approx(100)
    assert edges[0] == 0
    with pytest.raises(ValueError, match="at least one text"):
        plot_lengths({"none": lengths[:0]}, "characters")
