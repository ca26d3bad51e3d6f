"""Text that is unusual but text: one line in, one line out, whoever counts the lines."""

import io
import sys
from types import SimpleNamespace

import pytest
from small import PAIRS

from flax_transformer.commands import trained_model
from flax_transformer.commands.translate_command import Translate
from flax_transformer.line_batches import standard_input
from flax_transformer.tasks.text_predictor import ScoredText

FAMILY = "👩\u200d👩\u200d👧"
LINES = {
    "byte_order_mark": f"\ufeff{PAIRS[0].source}\n",
    "carriage_returns_alone": "twenty two\rtwenty three\r",
    "line_separator": "twenty\u2028two\n",
    "next_line": "twenty\x85two\n",
    "form_feed_and_vertical_tab": "twenty\ftwo\vfour\n",
    "nul": "twenty\0two\n",
    "control_characters": "".join(map(chr, range(1, 10))) + "\x1b[31m\x7f\n",
    "zero_width_alone": "\u200b\n\u200d\n\ufeff\n",
    "white_space_alone": "\n \n\t\n\u00a0\n\u3000\n\u2028\n",
    "emoji_joined": f"{FAMILY}\n🇩🇪\n",
    "right_to_left": "\u200f\u202etwenty two\u202c\nשלום\nمرحبا\n",
    "combining": "e" + "\u0301" * 499 + "\n",
    "special_tokens": "<pad> <s> </s> [UNK]\n",
    "long_word": "x" * 99_991 + "\ntwenty two\n",
    "ten_megabytes": "twenty two " * 909_091 + "\n",
    "private_and_unassigned": "\ue000\U000e0001\U0010ffff\uffff\n",
    "no_last_line_feed": "twenty two\n\ntwenty three",
}


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("name", LINES)
def test_every_line_gives_one_line(run, name):
    text = LINES[name]
    options = ("--workdir", "run", "--decoding.method", "greedy")
    result = run("translate", *options, stdin=text.encode())
    assert result.code == 0
    assert (
        result.out.count("\n") == len(result.out.splitlines()) == len(text.rstrip("\n").split("\n"))
    )
    is_cut = name in ("combining", "long_word", "ten_megabytes")
    assert result.err.count("\n") == is_cut
    assert result.err.startswith("warning: line 1 has " if is_cut else "")


@pytest.mark.usefixtures("trained")
def test_a_byte_order_mark_changes_no_translation(run):
    result = run("translate", "--workdir", "run", stdin=LINES["byte_order_mark"].encode())
    assert result.out == f"{PAIRS[0].target}\n"


def test_a_mark_within_the_text_is_a_character(monkeypatch):
    stdin = "\ufeff\ufefftwo\n\ufeffthree\n".encode()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
    assert list(standard_input(7)) == [["\ufefftwo", "\ufeffthree"]]


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("stdin", "line"),
    [
        ("two\n".encode("utf-16"), 1),
        (b"two\n\xed\xa0\x80\n", 2),
        (b"two\ntwo\n\xc0\xaf\n", 3),
        ("two\nfünf\n".encode("latin-1"), 2),
        (b"two\n" * 6 + b"\xe2\x82", 7),
    ],
)
def test_a_line_that_is_not_utf8_is_named_and_the_others_are_translated(run, stdin, line):
    lines = stdin.removesuffix(b"\n").split(b"\n")
    good = b"".join(other + b"\n" for number, other in enumerate(lines, 1) if number != line)
    expected = run("translate", "--workdir", "run", stdin=good).out.splitlines()
    result = run("translate", "--workdir", "run", stdin=stdin)
    assert result.code == 2
    assert result.out.splitlines() == [*expected[: line - 1], "", *expected[line - 1 :]]
    first, last = result.err.splitlines()
    assert first.startswith(f"error: standard input, line {line}, is not UTF-8 (")
    assert first.endswith("): convert it, for example with iconv")
    assert last == f"error: 1 of {len(lines)} lines could not be answered: correct them"


@pytest.mark.parametrize("scores", [False, True])
def test_whatever_a_model_says_stays_on_its_line(monkeypatch, capsys, tmp_path, scores):
    said = "\nzwei\r\x0bund\x0c\x1c\x85\u2028zwanzig\r\n"
    found = [[ScoredText(said, -0.5), ScoredText("\n", -0.7)]]
    translator = SimpleNamespace(translate_n_best=lambda texts, **_: found)
    monkeypatch.setattr(trained_model, "load_for", lambda *_: translator)
    Translate(texts=("two",), workdir=tmp_path, scores=scores).run()
    printed = capsys.readouterr().out
    assert printed.count("\n") == len(printed.splitlines()) == 2
    assert printed.replace("-0.5000\t", "").split("\n")[0].split() == ["zwei", "und", "zwanzig"]
