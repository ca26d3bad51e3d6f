"""Files that are not what a command takes them for: each is told in one line."""

import bz2
import gzip
import json
import lzma
import os
import random
import re
import shutil
import subprocess
import sys

import pytest
from command_line import assert_is_error
from tokenizers import Tokenizer as AnyTokenizer
from tokenizers import models

from flax_transformer.data.tokens.tokenizer import Tokenizer

TEXT = "".join(f"twenty {number}\n" for number in range(20))
# Random, so that no few subwords make them up.
LETTERS = random.Random(0)
LONG_WORDS = ["".join(LETTERS.choices("abcdefghijk", k=997)) for _ in range(20)]
TEXTS = {
    "utf16_little": (TEXT.encode("utf-16-le"), r"line 1 holds a NUL character, as UTF-16"),
    "utf16_marked": (b"\xff\xfe" + TEXT.encode("utf-16-le"), r"is UTF-16, .* iconv -f UTF-16"),
    "utf16_big_marked": (b"\xfe\xff" + TEXT.encode("utf-16-be"), r"is UTF-16, .* iconv -f UTF-16"),
    "utf32_marked": (b"\xff\xfe\0\0" + TEXT.encode("utf-32-le"), r"is UTF-32, .* iconv -f UTF-32"),
    "nul_in_a_line": (TEXT.replace("y 7", "y\0 7").encode(), "line 8 holds a NUL character"),
    "surrogate": (TEXT.encode().replace(b"7", b"\xed\xa0\x80", 1), "line 8 is not UTF-8"),
    "overlong": (TEXT.encode().replace(b"7", b"\xc0\xaf", 1), "line 8 is not UTF-8"),
    "cut_character": (TEXT.encode()[:-1] + b"\xe2\x82", "line 20 is not UTF-8"),
    "carriage_returns": (TEXT.replace("\n", "\r").encode(), r"carriage returns only: .* tr '\\r'"),
    "zip": (b"PK\x03\x04" + bytes(range(256)), "is a zip archive, not UTF-8 text: unpack it"),
    "bzip2": (bz2.compress(TEXT.encode()), "is packed by bzip2, not UTF-8 text: unpack it"),
    "xz": (lzma.compress(TEXT.encode()), "is packed by xz, not UTF-8 text: unpack it"),
    "gzipped_twice": (gzip.compress(gzip.compress(TEXT.encode())), "is gzipped twice"),
    "no_gzip": (b"\x1f\x8b" + b"junk" * 29, r"cannot read .*no_gzip: Unknown compression method"),
    "gzip_of_nothing": (gzip.compress(b""), "is empty: give a file with one sentence a line"),
    "mark_alone": (b"\xef\xbb\xbf", "is empty: give a file with one sentence a line"),
    "blank_line_more": (TEXT.encode() + b"\n", "has 21 lines but .* has 20: line N of one"),
    "line_separators": (TEXT.replace("\n", "\u2028").encode(), "has 1 lines but .* has 20"),
    "form_feeds": (TEXT.replace("\n", "\f").encode(), "has 1 lines but .* has 20"),
    "blank_lines": (b"\n" * 20, "none of the 20 pairs of train has two sides of 1 to 24 tokens"),
    "white_space": (" \u00a0\u3000\t\n".encode() * 20, "none of the 20 pairs of train has two"),
    "long_words": ("\n".join(LONG_WORDS).encode(), "none of the 20 pairs of train has two"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_that_is_none_is_told_and_nothing_is_written(run, folder, tmp_path, name):
    contents, message = TEXTS[name]
    (tmp_path / name).write_bytes(contents)
    options = f"--data.train-source {tmp_path / name}"
    assert_is_error(run("train", "small.py", "--workdir", "new", *options.split()), message)
    assert not (folder / "new").exists()


EXPERIMENTS = {
    "empty": (b"", "Expecting value: line 1"),
    "cut": (b'{"version": 2, "data": {"dataset": "text_fi', "Unterminated string"),
    "binary": (bytes(range(256)), "can't decode byte 0x80"),
    "a_list": (b"[7]", r"no fields, but \[7\]"),
    "null": (b"null", "no fields, but None"),
    "a_string": (b'"data"', "no fields, but 'data'"),
    "byte_order_mark": (b"\xef\xbb\xbf{}", "Unexpected UTF-8 BOM"),
    "newer_version": (b'{"version": 2, "sede": 7}', r"extra fields found \(sede\)"),
    "newer_version_of_a_part": (
        b'{"version": 2, "model": {"num_head": 7}}',
        r"--model: extra fields found \(num_head\)",
    ),
    "text_for_a_number": (
        b'{"version": 2, "data": {"vocab_size": "307"}}',
        "--data.vocab-size: '307' is not of type int",
    ),
    "fraction_for_a_count": (
        b'{"version": 2, "data": {"vocab_size": 307.5}}',
        "--data.vocab-size: 307.5 is not of type int",
    ),
    "text_for_a_switch": (
        b'{"version": 2, "data": {"packing": "no"}}',
        "--data.packing: 'no' is not of type bool",
    ),
    "switch_for_a_number": (b'{"version": 2, "seed": true}', "--seed: True is not of type int"),
    "switch_for_a_rate": (
        b'{"version": 2, "model": {"norm_epsilon": true}}',
        "--model.norm-epsilon: True is not of type float",
    ),
    "number_for_a_name": (
        b'{"version": 2, "data": {"dataset": 7}}',
        "--data.dataset: 7 is not of type str",
    ),
    "null_for_a_part": (b'{"version": 2, "data": null}', "--data: None has no fields"),
    "impossible_value": (
        b'{"version": 2, "data": {"vocab_size": 3}}',
        r"--data\.vocab-size must be at least 259, not 3",
    ),
    "impossible_together": (
        b'{"version": 2, "model": {"num_heads": 7}}',
        "--model.d-model .* is not a multiple of",
    ),
    "not_a_number": (
        b'{"version": 2, "task": {"label_smoothing": NaN}}',
        "--task.label-smoothing must be .* not nan",
    ),
}


@pytest.fixture
def damaged(folder, trained):
    """Copies the trained workdir, for one of its files to be replaced."""
    path = folder / "damaged"
    shutil.copytree(folder / "run", path)
    yield path
    shutil.rmtree(path)


def replace(path, contents):
    path.unlink()
    if contents is not None:
        path.write_bytes(contents)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_that_cannot_be_read_is_told(run, damaged, name):
    contents, message = EXPERIMENTS[name]
    replace(damaged / "experiment.json", contents)
    for line in ("translate --workdir damaged two", "train small.py --workdir damaged"):
        assert_is_error(run(*line.split()), rf"cannot read damaged/experiment\.json: .*{message}")
    # A later start must find what this one found.
    assert (damaged / "experiment.json").read_bytes() == contents


def test_a_checkpoint_that_cannot_be_read_is_told_in_one_line(folder, damaged):
    """In a process of its own, whose threads go on to report what they could not read."""
    for path in damaged.glob("checkpoints/*/variables"):
        largest = max((p for p in path.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
        os.truncate(largest, 100)
    command = [sys.executable, "-m", "flax_transformer", "translate", "--workdir", "damaged", "two"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (2, "")
    *left_out, error = result.stderr.splitlines()
    assert len(left_out) == len(list(damaged.glob("checkpoints/*")))
    assert all(re.match(r"warning: the checkpoint .* is damaged", line) for line in left_out)
    assert error.startswith("error: all checkpoints of damaged are damaged")


OTHER_TOKENIZER = Tokenizer.train(["seven", "eleven"], 263)
WORD_PIECES = AnyTokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
WITHOUT_BYTES = AnyTokenizer(models.BPE({"a": 0, "b": 1}, []))
OTHERS = {
    "trained_anew": (OTHER_TOKENIZER.to_json(), OTHER_TOKENIZER.vocab_size),
    "word_pieces": (WORD_PIECES.to_str(), 5),
    "without_bytes": (WITHOUT_BYTES.to_str(), 5),
}
TOKENIZERS = {
    "missing": (None, "No such file"),
    "empty": (b"", "EOF while parsing"),
    "cut": (OTHER_TOKENIZER.to_json().encode()[:499], "EOF while parsing"),
    "binary": (bytes(range(256)), "did not contain valid UTF-8"),
    "null": (b"null", "invalid type: null"),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_that_cannot_be_read_is_told(run, damaged, name):
    contents, message = TOKENIZERS[name]
    replace(damaged / "tokenizer.json", contents)
    for line in ("translate --workdir damaged two", "evaluate --workdir damaged"):
        result = run(*line.split())
        assert_is_error(
            result, rf"cannot read the tokenizer damaged/tokenizer\.json \(.*{message}.*\): restore"
        )


@pytest.mark.parametrize("name", OTHERS)
def test_the_tokenizer_of_another_model_is_told(run, damaged, name):
    contents, num_rows = OTHERS[name]
    replace(damaged / "tokenizer.json", contents.encode())
    result = run("translate", "--workdir", "damaged", "two")
    rows = json.loads((damaged / "experiment.json").read_bytes())["data"]["vocab_size"]
    shapes = rf"float32\[{rows},32\] for float32\[{num_rows},32\]"
    assert_is_error(result, f"another model .*embedding/table {shapes}.: use the settings it was")


@pytest.mark.parametrize("name", ["experiment.json", "tokenizer.json"])
def test_a_folder_in_place_of_a_file_is_told(run, damaged, name):
    (damaged / name).unlink()
    (damaged / name).mkdir()
    assert_is_error(
        run("translate", "--workdir", "damaged", "two"), "(holds no run|Is a directory)"
    )
