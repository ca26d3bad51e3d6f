"""Every output can be matched with its input, whatever the model found."""

import io
import json
import sys
from types import SimpleNamespace

import pytest

from flax_transformer.commands import trained_model
from flax_transformer.commands.fill_command import Fill
from flax_transformer.commands.generate_command import Generate
from flax_transformer.commands.translate_command import Translate
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.tasks.masked_language_modeling.mask_filler import Filled
from flax_transformer.tasks.text_predictor import ScoredText

LINES = "two\n\nsix\n"


@pytest.fixture
def write_lines(monkeypatch):
    def write(text: str) -> None:
        stream = io.BytesIO(text.encode())
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))

    return write


@pytest.fixture
def translated(monkeypatch, tmp_path, capsys, write_lines):
    """Prints what `translate` prints of three lines; the second is blank."""

    def translate_n_best(texts, **_):
        found = {"two": [("zwei", -0.5), ("zwo", -0.75)], "": [("", 0.0)], "six": [("sechs", -1)]}
        return [[ScoredText(*one) for one in found[text]] for text in texts]

    translator = SimpleNamespace(translate_n_best=translate_n_best)
    monkeypatch.setattr(trained_model, "load_for", lambda *_: translator)

    def run(**options) -> str:
        write_lines(LINES)
        Translate(texts=(), workdir=tmp_path, **options).run()
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("batch_lines", [1, 2, 64])
@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (False, "0\tzwei\n0\tzwo\n1\t\n2\tsechs\n"),
        (True, "0\t-0.5000\tzwei\n0\t-0.7500\tzwo\n1\t0.0000\t\n2\t-1.0000\tsechs\n"),
    ],
)
def test_each_of_several_translations_has_the_index_of_its_text(
    translated, scores, expected, batch_lines
):
    assert translated(n_best=2, scores=scores, batch_lines=batch_lines) == expected
    config = DecodingConfig(num_best=2)
    assert translated(decoding=config, scores=scores, batch_lines=batch_lines) == expected


def test_translations_as_json_are_one_line_a_text(translated):
    records = [json.loads(line) for line in translated(n_best=2, json=True).splitlines()]
    assert records == [
        {
            "index": 0,
            "input": "two",
            "outputs": [{"text": "zwei", "score": -0.5}, {"text": "zwo", "score": -0.75}],
        },
        {"index": 1, "input": "", "outputs": [{"text": "", "score": 0.0}]},
        {"index": 2, "input": "six", "outputs": [{"text": "sechs", "score": -1.0}]},
    ]


def test_a_text_of_which_nothing_was_found_has_a_line(monkeypatch, tmp_path, capsys):
    translator = SimpleNamespace(translate_n_best=lambda texts, **_: [[] for _ in texts])
    monkeypatch.setattr(trained_model, "load_for", lambda *_: translator)
    Translate(texts=("two", "six"), workdir=tmp_path).run()
    assert capsys.readouterr().out == "\n\n"


@pytest.fixture
def generated(monkeypatch, tmp_path, capsys, write_lines):
    """Prints what `generate` prints of some lines; every output has two lines."""

    def generate_n_best(prompts, *, first_line, **_):
        for line, prompt in enumerate(prompts, first_line):
            if prompt == "bad":
                raise UserError(f"line {line} is bad")
        return [[ScoredText(f"\n{n}", -n) for n in range(number)] for _ in prompts]

    number = 0

    def load(_command, _workdir, _weights, decoding, _dtype):
        nonlocal number
        number = decoding.num_best
        return SimpleNamespace(generate_n_best=generate_n_best)

    monkeypatch.setattr(trained_model, "load_for", load)

    def run(lines: str, **options) -> str:
        write_lines(lines)
        Generate(texts=(), workdir=tmp_path, **options).run()
        return capsys.readouterr().out

    return run


def test_outputs_of_several_lines_are_separated(generated):
    assert generated("a\n\nb\n", batch_lines=2) == "a\n0\n---\n\n0\n---\nb\n0\n"
    assert generated("a\n") == "a\n0\n"


def test_each_of_several_outputs_has_the_index_of_its_prompt(generated):
    expected = "--- 0\na\n0\n--- 0\na\n1\n--- 1\nb\n0\n--- 1\nb\n1\n"
    assert generated("a\nb\n", num_samples=2, batch_lines=1) == expected


def test_outputs_as_json_are_one_line_a_prompt(generated):
    first, second = map(json.loads, generated("a\nb\n", num_samples=2, json=True).splitlines())
    outputs = [{"text": "\n0", "score": 0}, {"text": "\n1", "score": -1}]
    assert first == {"index": 0, "input": "a", "outputs": outputs}
    assert second == {"index": 1, "input": "b", "outputs": outputs}


@pytest.mark.parametrize("is_json", [False, True])
def test_a_bad_line_has_its_place_among_the_outputs(generated, capsys, is_json):
    with pytest.raises(UserError, match="1 of 3 lines could not be answered"):
        generated("a\nbad\nb\n", json=is_json)
    out, err = capsys.readouterr()
    assert err == "error: line 2 is bad\n"
    if is_json:
        record = json.loads(out.splitlines()[1])
        assert record == {"index": 1, "input": "bad", "error": "line 2 is bad"}
    else:
        assert out == "a\n0\n---\n\n---\nb\n0\n"


def test_what_is_filled_has_a_line_for_each_line(monkeypatch, tmp_path, capsys, write_lines):
    filler = SimpleNamespace(fill=lambda texts, top, **_: [Filled(f"<{t}>", []) for t in texts])
    monkeypatch.setattr(trained_model, "load_for", lambda *_, **__: filler)
    write_lines(LINES)
    Fill(texts=(), workdir=tmp_path, batch_lines=2).run()
    assert capsys.readouterr().out == "<two>\n<>\n<six>\n"
    write_lines(LINES)
    Fill(texts=(), workdir=tmp_path, json=True, batch_lines=2).run()
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert records == [
        {"index": index, "input": text, "text": f"<{text}>", "gaps": []}
        for index, text in enumerate(("two", "", "six"))
    ]
