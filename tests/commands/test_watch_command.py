"""The command watch: one reading for each kept checkpoint."""

import contextlib
import dataclasses
import itertools
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from command_line import assert_is_error
from PIL import Image
from small import PAIRS
from unchecked import unchecked
from untrained import CLASS_NAMES, EXPERIMENTS, MAX_LENGTH, write_workdir

import flax_transformer as ft
from flax_transformer.cli import main
from flax_transformer.commands import watch_command
from flax_transformer.data.datasets.conllu import TaggedWordsConfig
from flax_transformer.experiment import write_experiment
from flax_transformer.models.encoder_decoder import EncoderDecoder
from flax_transformer.tasks.tagging.tagging_task import TAGS, TaggingConfig
from flax_transformer.tasks.text_predictor import one_row
from flax_transformer.tasks.translation.translation_task import TranslationTask
from flax_transformer.training.assemble import load, open_checkpoints, open_run
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.kept_models import KeptModels
from flax_transformer.visualization.attention_view import view_readings

SOURCE, TARGET, _ = PAIRS[0]
SETTINGS = {
    "num-steps": 9,
    "evaluate-every-steps": 4,
    "checkpoint-every-steps": 3,
    "keep-checkpoints": 3,
    "best-score": "perplexity",
}
STEPS, SCORED = [6, 8, 9], [4, 8, 9]


@pytest.fixture(scope="module")
def watched(folder):
    """A training with several checkpoints, one of which was not scored."""
    words = ["--decoding.method", "greedy"]
    for name, value in SETTINGS.items():
        words += [f"--training.{name}", f"{value}"]
    with unchecked(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        main(["train", "small.py", "--workdir", "watched", *words])


@pytest.fixture
def readings(monkeypatch):
    """The readings of the last page."""
    found = []

    def view(given, **options):
        found[:] = given
        assert options["by"] == "step"
        return view_readings(given, **options)

    monkeypatch.setattr(watch_command, "view_readings", view)
    return found


@pytest.mark.usefixtures("watched")
def test_the_first_example_is_shown_at_every_checkpoint(run, folder, readings, monkeypatch):
    calls, at_reads = [], []
    encode, read = EncoderDecoder.encode, KeptModels.read
    monkeypatch.setattr(
        EncoderDecoder, "encode", lambda *args, **kw: calls.append(1) or encode(*args, **kw)
    )
    monkeypatch.setattr(
        KeptModels, "read", lambda self, step: at_reads.append(len(calls)) or read(self, step)
    )
    jax.clear_caches()  # of the same model, in other tests
    result = run("watch", "--workdir", "watched")
    assert (result.err, result.code) == ("", 0)
    # Only the first checkpoint is traced: by the search, and for the attention.
    before, *after = [*at_reads, len(calls)]
    assert before < after[0] == max(after)
    lines = map(json.loads, Path("watched/metrics.jsonl").read_text().splitlines())
    scored = {line["step"]: line for line in lines if line["kind"] == "validation"}
    assert list(scored) == SCORED
    assert [reading.name for reading in readings] == [f"step {step}" for step in STEPS]
    for step, reading in zip(STEPS, readings, strict=True):
        predictor = at_step(step)
        output, reference, scores = reading.notes
        assert output == f"output: {predictor.translate(SOURCE)}"
        assert reference == f"reference: {TARGET}"
        if step not in scored:
            assert scores == "validation: not scored at this step"
        else:
            assert f"perplexity {scored[step]['perplexity']:.2f}" in scores
            assert f"chrf {scored[step]['chrf']:.2f}" in scores
        assert f"step {step}: {'; '.join(reading.notes)}\n" in result.out
        check_weights(reading, predictor, SOURCE, TARGET)
    counted = "3 checkpoints are kept: for more, train with --training.keep-checkpoints above 3"
    shown = "shown in watch.html: open it in a browser"
    assert result.out.splitlines()[-2:] == [counted, shown]
    page = (folder / "watch.html").read_text("utf-8")
    assert all(f'id="{index}-cross-0"' in page for index in range(len(STEPS)))


def at_step(step):
    """A translator with the variables of a checkpoint, which are read without an average."""
    run = open_run(Path("watched"), "last")
    opened = open_checkpoints(Workdir(Path("watched")), run.experiment.training, is_reader=True)
    with contextlib.closing(opened) as checkpoints:
        shapes = jax.eval_shape(run.task.init, jax.random.key(0))
        return run.task.predictor(checkpoints.saved_variables(shapes, step))


def check_weights(reading, predictor, source, target):
    tokenizer = predictor.tokenizer
    read = [*tokenizer.encode(source), tokenizer.eos_id]
    inputs = one_row(read, [tokenizer.bos_id, *tokenizer.encode(target)])
    compute: Any = jax.jit(ft.inspection.attention_weights, static_argnums=0)
    expected = compute(predictor.model, predictor.variables, inputs)
    assert reading.weights.keys() == {"encoder", "decoder", "cross"}
    for part, weights in expected.items():
        np.testing.assert_allclose(reading.weights[part], weights[:, 0], atol=1e-5)


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize("words", [[], ["--target", "zwei"]])
def test_the_record_of_a_text(run, readings, words):
    """Without a target, the last output is read at all checkpoints."""
    text = "fifty six"
    result = run("watch", "--workdir", "watched", text, "--json", *words)
    assert (result.err, result.code) == ("", 0)
    record = json.loads(result.out)
    assert record["command"] == sys.argv
    assert record["seed"] == 0
    assert record["devices"] == [device.device_kind for device in jax.local_devices()]
    assert (record["text"], record["reference"]) == (text, None)
    outputs = {each["step"]: each["output"] for each in record["checkpoints"]}
    assert list(outputs) == STEPS
    last = load("watched", "last")
    assert outputs[STEPS[-1]] == last.translate(text)
    assert record["target"] == (words[1] if words else outputs[STEPS[-1]])
    names = ["<s>", *last.tokenizer.names(last.tokenizer.encode(record["target"]))]
    assert all(list(reading.target_tokens) == names for reading in readings)
    lines = map(json.loads, Path("watched/metrics.jsonl").read_text().splitlines())
    scored = {line.pop("step"): line for line in lines if line.pop("kind") == "validation"}
    assert [each["scores"] for each in record["checkpoints"]] == [
        scored.get(step, {}) for step in STEPS
    ]


@pytest.mark.usefixtures("watched")
def test_a_damaged_checkpoint_is_left_out(run, folder, readings):
    shutil.copytree(folder / "watched", folder / "watched_damaged")
    for path in (folder / "watched_damaged" / "checkpoints" / "8").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    result = run("watch", "--workdir", "watched_damaged")
    assert result.code == 0
    assert re.search("checkpoints/8 is damaged .*: it is left out", result.err)
    assert [reading.name for reading in readings] == ["step 6", "step 9"]
    message = "2 checkpoints are kept: for more, train with --training.checkpoint-every-steps below"
    assert f"{message} 3\n" in result.out


@pytest.fixture(scope="module")
def kinds(folder, untrained):
    """The workdirs of other kinds of models, each with one checkpoint, and data for them."""
    files: dict[str, dict[str, Any]] = {
        "texts": {"train_file": "table.csv", "validation_file": "table.csv"},
        "masked": {"train_text": "text.txt", "validation_text": "text.txt"},
        "language_model": {"train_text": "text.txt", "validation_text": "text.txt"},
        "images": {"dataset": "image_folders", "image_size": 4, "folder": "pictures"},
        "videos": {"dataset": "video_folders", "image_size": 4, "folder": "pictures"},
        "tags": {"train_file": "words.conllu", "validation_file": "words.conllu"},
    }
    write_data(folder)
    tags = dataclasses.replace(
        EXPERIMENTS["masked"],
        data=TaggedWordsConfig(max_length=MAX_LENGTH, **files["tags"]),
        task=TaggingConfig(),
    )
    with unchecked(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        (folder / "tags").mkdir()
        (folder / "tags" / TAGS).write_text('["NOUN", "NUM"]')
        write_workdir(folder / "tags", tags)
        for kind, fields in files.items():
            shutil.copytree(kind, f"kinds/{kind}")
            experiment = Workdir(Path(kind)).load()
            data: Any = dataclasses.replace(experiment.data, **fields)
            write_experiment(
                Path("kinds", kind, "experiment.json"), dataclasses.replace(experiment, data=data)
            )


def write_data(folder):
    """Writes texts, tagged words and pictures; an image is the first frame of a video."""
    (folder / "text.txt").write_text("bad cab\nfed a cab\n" * 9)
    rows = "".join(f"twenty,{name}\n" for name in CLASS_NAMES)
    (folder / "table.csv").write_text(f"text,label\ntwo two,owl\n{rows}")
    rest = "\t_" * 6
    words = (f"1\ttwo\t_\tNUM{rest}", f"2\tways\t_\tNOUN{rest}")
    (folder / "words.conllu").write_text("\n".join(words) + "\n\n")
    frames = [Image.fromarray(np.full((4, 4), 40 * number, np.uint8)) for number in range(6)]
    for split, name in itertools.product(("train", "validation"), CLASS_NAMES):
        place = folder / "pictures" / split / name
        place.mkdir(parents=True)
        frames[0].save(place / "a.png", save_all=True, append_images=frames[1:])


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize(
    ("kind", "given", "reference", "first_tokens"),
    [
        ("texts", "two two", "owl", ["<s>", "two"]),
        ("masked", "bad [MASK]cab", "bad cab", ["<s>", "b"]),
        ("language_model", "bad ", None, ["b", "a", "d", " "]),
        ("images", None, "cat", ["[class]", "row 0, column 0"]),
        ("videos", None, "cat", ["time 0, row 0, column 0"]),
        ("tags", "two ways", "NUM NOUN", ["<s>", "two"]),
    ],
)
def test_every_kind_shows_its_first_example(run, readings, kind, given, reference, first_tokens):
    result = run("watch", "--workdir", f"kinds/{kind}", "--json")
    assert (result.err, result.code) == ("", 0)
    record = json.loads(result.out)
    assert (record["text"], record["reference"], record["target"]) == (given, reference, None)
    (reading,) = readings
    assert list(reading.tokens[: len(first_tokens)]) == first_tokens
    (checkpoint,) = record["checkpoints"]
    assert (checkpoint["step"], checkpoint["scores"]) == (1, {})
    assert reading.notes[0] == f"output: {checkpoint['output']}"
    own = given or "pictures/validation/cat/a.png"
    predictor: Any = load(f"kinds/{kind}")
    assert predictor.answer(own) == checkpoint["output"] != ""
    shown = predictor.attend(own)
    if kind != "language_model":
        assert checkpoint["output"] in shown["title"]
    jax.tree.map(np.testing.assert_array_equal, reading.weights, shown["weights"])


@pytest.mark.usefixtures("kinds")
def test_one_checkpoint_is_shown(run):
    result = run("watch", "--workdir", "kinds/tags", "two ways")
    assert (result.err, result.code) == ("", 0)
    first, counted, _ = result.out.splitlines()
    assert re.fullmatch(r"step 1: output: (NOUN|NUM) (NOUN|NUM); validation: not scored .*", first)
    more = "--training.checkpoint-every-steps below 1000"
    assert counted == f"1 checkpoint is kept: for more, train with {more}"


@pytest.mark.usefixtures("kinds", "watched")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "nothing holds no run"),
        (["watched", "twenty", "two"], "2 texts are given, but one is shown: give one, in quot"),
        (["watched", " "], "text is blank"),
        (["watched", "two", "--target", " "], "target is blank"),
        (["watched", "--out", "none/page.html"], "no folder none for the page page.html"),
        (["kinds/texts", "two", "--target", "zwei"], "--target 'zwei' is read by translators only"),
        (["kinds/masked", "two"], r"text 1 has no \[MASK\]"),
        (["texts"], r"no first example of validation \(train.csv does not .*\): give a text, or"),
    ],
)
def test_mistakes_get_one_line(run, words, message):
    assert_is_error(run("watch", "--workdir", *words), message)


@pytest.mark.usefixtures("watched")
def test_a_run_without_checkpoints_gets_one_line(run, folder):
    shutil.copytree(folder / "watched", folder / "watched_begun", ignore=lambda *_: ["checkpoints"])
    result = run("watch", "--workdir", "watched_begun")
    assert_is_error(result, "begun holds no checkpoint yet: run its")


@pytest.mark.usefixtures("watched")
def test_a_task_without_an_example_needs_a_text(run, monkeypatch):
    monkeypatch.delattr(TranslationTask, "first_example")
    message = r"no first example of validation \(TranslationTask has no .*\): give a text, or the"
    assert_is_error(run("watch", "--workdir", "watched"), message)
    assert run("watch", "--workdir", "watched", "two").code == 0


@pytest.mark.usefixtures("watched")
def test_a_page_has_a_largest_size(run, readings, monkeypatch):
    limit = "flax_transformer.visualization.reading.LARGEST_PAGE"
    run("watch", "--workdir", "watched", "two", "--target", "zwei")
    size = len(STEPS) * sum(weights.size for weights in readings[0].weights.values())
    monkeypatch.setattr(limit, size)
    assert run("watch", "--workdir", "watched", "two", "--target", "zwei").code == 0
    monkeypatch.setattr(limit, size - 1)
    message = f"watch would write {size} attention weights, but a page has at most {size - 1}: give"
    result = run("watch", "--workdir", "watched", "two", "--target", "zwei")
    assert_is_error(result, message)


@pytest.mark.usefixtures("watched")
def test_a_blank_last_output_needs_a_target(run, monkeypatch):
    kind = type(load("watched"))
    monkeypatch.setattr(kind, "answer", lambda self, text: "")
    message = "the output at step 9 is blank: give a --target to read"
    assert_is_error(run("watch", "--workdir", "watched", "two"), message)
