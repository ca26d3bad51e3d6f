"""What `export --format` writes computes the same as the model, without this package."""

import dataclasses
import functools
import json
import re
import subprocess
import sys
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest
from published_experiments import MARKS, disturb, lines, small_experiment, write_run
from untrained import EXPERIMENTS, write_workdir

import flax_transformer as ft
from flax_transformer.cli import main
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.functional.feed_forward import ACTIVATIONS, Activation
from flax_transformer.interchange import export_programs
from flax_transformer.interchange.programs import exported_programs
from flax_transformer.interchange.programs.exported_programs import FORMATS, find_format
from flax_transformer.interchange.programs.model_programs import Kind, model_programs
from flax_transformer.interchange.programs.stablehlo_programs import STABLEHLO
from flax_transformer.training.assemble import open_run

pytestmark = [
    pytest.mark.platforms,
    pytest.mark.usefixtures("quickly_compiled", "unchecked_types"),
]
NAMES = [form.name for form in FORMATS]
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "exporting.md"
PUBLISHED = ("number_words", "shakespeare")
# The tests below export further kinds; models of masked texts have the parts of `texts`.
CASES = [
    *((name, "onnx") for name in ("number_words", "shakespeare", "texts", "videos")),
    ("texts", "stablehlo"),
]
# Relative to the largest number. onnxruntime has approximations of its own, such as that of erf.
TOLERANCE = 3e-5
SIZES = {"batch": 2, "length": 5, "source_length": 7, "new_length": 3, "capacity": 13}


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> Callable[[str], Path]:
    """Writes a workdir of a kind of model once, with random weights."""

    @functools.cache
    def workdir(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name) / "run"
        if name in PUBLISHED:
            return write_run(folder, name)
        return write_workdir(folder, EXPERIMENTS[name])

    return workdir


@pytest.fixture(scope="module")
def export(workdir, tmp_path_factory) -> Callable[[str, str], tuple[Path, Any]]:
    """Exports a kind of model once; gives the folder and what the export returns."""

    @functools.cache
    def export(name: str, form: str) -> tuple[Path, Any]:
        need(form)
        folder = tmp_path_factory.mktemp("exported") / "exported"
        return folder, export_programs(workdir(name), folder, form)

    return export


def need(form: str) -> None:
    """Skips a test of a format whose packages are not installed."""
    if form == "onnx":
        pytest.importorskip("onnx", reason="needs the extra onnx")
        pytest.importorskip("onnxruntime", reason="needs the extra onnx")


def draw(inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Inputs as programs.json describes them, in the middle of a text."""
    rng = np.random.default_rng(3)
    drawn: dict[str, np.ndarray] = {
        name: rng.normal(size=Kind(tuple(kind["shape"]), kind["dtype"]).shape(SIZES))
        for name, kind in inputs.items()
    }
    drawn |= {name: np.ones_like(x) for name, x in drawn.items() if inputs[name]["dtype"] == "bool"}
    if "history" in drawn:
        drawn["history"][:, 4:] = 0
        drawn["length"] = np.array(4)
    for name in {"tokens", "images", "videos"} & {*inputs}:
        drawn[name] = rng.integers(0, 19, drawn[name].shape)
    if "segments" in inputs:
        drawn["segments"] = np.ones_like(drawn["tokens"])
        drawn["segments"][1, 3:] = 0
    return {name: np.asarray(drawn[name], kind["dtype"]) for name, kind in inputs.items()}


@pytest.mark.parametrize(("name", "form"), CASES)
def test_every_model_computes_the_same_for_other_lengths(name, form, export, workdir):
    folder, exported = export(name, form)
    assert exported.comparison.num_equal == exported.comparison.number > 0
    described = json.loads((folder / "programs.json").read_text())
    assert described["written_by"]["jax"] == jax.__version__
    run = open_run(workdir(name), "average")
    programs = find_format(form).open(folder)
    for program, function in model_programs(run.task).items():
        kinds = described["programs"][program]
        inputs = draw(kinds["inputs"])
        ours = jax.jit(function.function)(run.variables, inputs)
        theirs = programs(program, inputs)
        assert {*ours} == {*theirs} == {*kinds["outputs"]}
        for output, kind in kinds["outputs"].items():
            given, expected = np.asarray(theirs[output]), np.asarray(ours[output])
            assert list(given.shape) == [SIZES.get(axis, axis) for axis in kind["shape"]]
            assert given.dtype == kind["dtype"]
            atol = TOLERANCE * np.abs(expected).max()
            np.testing.assert_allclose(given, expected, rtol=0, atol=atol)


def blocks(form: str) -> str:
    """The Python of the guide that runs programs of a format and searches greedily."""
    text = GUIDE.read_text("utf-8")
    titles = ({"stablehlo": "StableHLO", "onnx": "ONNX"}[form], "A translation")
    parts = (text.partition(f"\n## {title}\n")[2].partition("\n## ")[0] for title in titles)
    found = re.findall(r"<!-- tested -->\n```python\n(.*?)```", "".join(parts), re.S)
    assert len(found) == 3
    return "\n".join(found)


@pytest.mark.parametrize("form", NAMES)
def test_the_guide_translates_without_flax_and_this_package(form, export, workdir):
    folder, _ = export("number_words", form)
    translator = ft.load(workdir("number_words"))
    lengths = {text: len(translator.tokenizer.encode(text)) for text in lines()[len(MARKS) :]}
    # Of one length, so that programs are compiled once; the end mark is one more token.
    sources = [text for text, length in lengths.items() if length == 11][:7]
    greedy = dataclasses.replace(
        translator.decoding, method="greedy", num_best=1, max_extra_length=1
    )
    more = f"""
for text in {sources!r}:
    print(json.dumps(tokenizer.decode(translate(tokenizer.encode(text).ids, 13))))
"""
    names = ["flax", "flax_transformer", *(["jax"] if form == "onnx" else [])]
    blocked = f"import sys\nfor name in {names}:\n    sys.modules[name] = None\n"
    command = [sys.executable, "-c", blocked + blocks(form) + more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder.parent)
    assert done.returncode == 0, done.stderr
    written = [json.loads(line) for line in done.stdout.splitlines()[1:]]
    assert written == translator.translate(sources, greedy)
    assert len({*written}) > 3


def test_a_program_has_one_form_for_all_platforms(tmp_path):
    experiment = small_experiment("shakespeare")
    model = dataclasses.replace(
        experiment.model, attention_implementation="blockwise", scan_layers=True
    )
    experiment = dataclasses.replace(experiment, model=model)
    characters = Tokenizer.of_characters(lines())
    workdir = write_workdir(tmp_path / "run", experiment, characters, disturb)
    exported = export_programs(workdir, tmp_path / "out", "stablehlo")
    assert exported.comparison.difference < 1e-5
    contents = bytearray((tmp_path / "out" / "decode.stablehlo").read_bytes())
    program = jax.export.deserialize(contents)
    assert program.platforms == ("cpu", "cuda", "tpu")
    assert program.nr_devices == 1
    assert len(contents) < 200_000, "weights are arguments"


def test_an_output_that_differs_is_refused(workdir, tmp_path, monkeypatch):
    def open_wrong(folder):
        programs = STABLEHLO.open(folder)
        return lambda name, inputs: {"logits": 1.001 * programs(name, inputs)["logits"]}

    wrong = STABLEHLO._replace(name="mine", open=open_wrong)
    monkeypatch.setattr(exported_programs, "FORMATS", (*FORMATS, wrong))
    with pytest.raises(UserError, match=r"^--format mine computes something else: the largest .*"):
        export_programs(workdir("images"), tmp_path / "out", "mine")
    assert not list(tmp_path.iterdir())


def sorted_features(x):
    return jnp.sort(x)


def called_back(x):
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


@pytest.mark.parametrize(
    ("form", "function", "lacking"),
    [
        ("onnx", sorted_features, "JAX's operation sort: give --format stablehlo"),
        (
            "stablehlo",
            called_back,
            "code that later versions of jaxlib may not have: give --format onnx",
        ),
    ],
    ids=("onnx", "stablehlo"),
)
def test_a_part_that_a_format_cannot_hold_is_named(form, function, lacking, tmp_path, monkeypatch):
    need(form)
    monkeypatch.setitem(ACTIVATIONS, "mine", Activation(function, False, "of this test"))
    experiment = EXPERIMENTS["images"]
    model = dataclasses.replace(experiment.model, activation="mine", pooling="class_token")
    workdir = write_workdir(tmp_path / "run", dataclasses.replace(experiment, model=model))
    with pytest.raises(UserError) as error:
        export_programs(workdir, tmp_path / "out", form)
    start = f"--format {form} cannot hold --model.activation mine, which needs "
    assert str(error.value) == start + lacking
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_model_of_another_kind_has_no_programs():
    captioning = types.SimpleNamespace(model=None, takes=("images", "target_tokens"))
    with pytest.raises(UserError, match=r"^a model from images to target_tokens has no programs"):
        model_programs(captioning)


def test_the_command_says_what_it_wrote(workdir, tmp_path, capsys):
    out = tmp_path / "out"
    workdir = str(workdir("images"))
    main(["export", "--workdir", workdir, "--out", str(out), "--format", "stablehlo"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"{out} holds classify.stablehlo, written by jax {jax.__version__}" in said
    assert "JAX promises that a jaxlib up to 6 months newer or 3 weeks older runs them" in said
    assert re.search(r"largest relative difference \d\.\de[+-]\d\d, 3 of 3 largest logits", said)
    assert {path.name for path in out.iterdir()} == {
        "classify.stablehlo",
        "programs.json",
        "weights.npz",
    }
    described = json.loads((out / "programs.json").read_text())
    assert described["programs"]["classify"]["inputs"] == {
        "images": {"shape": ["batch", 4, 6, 1], "dtype": "uint8"}
    }
    assert described["classes"] == ["cat", "dog", "newt", "owl", "yak"]


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        (("--family", "gpt2"), "--family gpt2 is for --format transformers: leave it out"),
        (("--adapter",), "--adapter is for --format transformers: leave it out"),
        (("--dtype", "bfloat16"), "--dtype bfloat16 is not for --format stablehlo: give float32"),
        (("--num-texts", "3"), "--num-texts 3 is for --format ctranslate2: leave it out"),
    ],
    ids=lambda x: x[0].strip("-"),
)
def test_an_option_of_another_format_is_refused(option, reason, workdir, tmp_path, capsys):
    words = ["export", "--workdir", str(workdir("images")), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        main([*words, "--format", "stablehlo", *option])
    assert reason in " ".join(capsys.readouterr().err.split())


def test_an_unknown_format_is_one_line(workdir, tmp_path):
    with pytest.raises(UserError, match=r"^unknown --format 'onx': did you mean 'onnx'\? Known: o"):
        export_programs(workdir("images"), tmp_path / "out", "onx")
