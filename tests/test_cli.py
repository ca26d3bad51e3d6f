import dataclasses
import io
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from jaxtyping import config
from small import MODEL, PAIRS, make_experiment

from flax_transformer import cli
from flax_transformer.cli import Evaluate, List, Train, Translate, main
from flax_transformer.data.datasets import DATASETS
from flax_transformer.functional.positional import SCHEMES
from flax_transformer.models.presets import PRESETS, count_parameters

HERE = Path()
IMPORTS = """
from flax_transformer.data.datasets import DataConfig
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.experiment import Experiment
from flax_transformer.models import EncoderDecoderConfig
from flax_transformer.tasks.translation import TranslationConfig
from flax_transformer.training.config import TrainingConfig
from flax_transformer.training.optimizer import OptimizerConfig
"""
# Files that a user may name by mistake.
MISTAKEN = {
    "none.py": "number = 3\n",
    "syntax.py": "number = 3\nnumber = = 3\n",
    "failing.py": "number = 3\n\nnumber / 0\n",
    "field.py": f"{IMPORTS}\nEncoderDecoderConfig(num_head=3)\n",
    "sizes.py": f"{IMPORTS}\nexperiment = Experiment(model=EncoderDecoderConfig(num_heads=3))\n",
    "three.txt": "a\nb\nc\n",
    "empty.txt": "",
    "latin.txt": "a\nb\n\udcff\n",
}


@pytest.fixture(scope="module", autouse=True)
def unchecked_types():
    """A user's mistakes must be found without the tests' type checker."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with an experiment, its data, and files that are not what they should be."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.py").write_text(f"{IMPORTS}\nexperiment = {make_experiment(folder)!r}\n")
    for name, text in MISTAKEN.items():
        (folder / name).write_bytes(text.encode(errors="surrogateescape"))
    (folder / "nothing").mkdir()
    return folder


@pytest.fixture(scope="module")
def trained(folder):
    """What the command printed that trained the workdir "run"."""
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "stdout", output)
        main(["train", "small.py", "--workdir", "run"])
    return output.getvalue()


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Runs a command line in the folder; gives its exit code, output and errors."""
    monkeypatch.chdir(folder)

    def run(*words, stdin=b""):
        # All that is read of standard input is its buffer.
        stream = io.BytesIO(stdin)
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
        code = 0
        try:
            main(list(words))
        except SystemExit as stop:
            code = stop.code or 0
        return SimpleNamespace(code=code, **capsys.readouterr()._asdict())

    return run


def assert_is_error(result, message):
    assert result.code == 2
    assert result.out == ""
    assert re.fullmatch(f"error: .*{message}.*\n", result.err), result.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", r"Expected one of \{train, evaluate, translate, list\}"),
        ("trian", "trian Available subcommands: train, evaluate, translate, list"),
        ("list extra", "Unrecognized options: extra"),
        ("list --vocab-size 0", "vocab_size must be at least 1, not 0"),
        ("train", "no experiment file: give one, flax-transformer train "),
        ("train --workdir new", "no experiment file: give one, flax-transformer train "),
        ("train small.py", "Missing from flax-transformer train: --workdir"),
        ("evaluate", "Missing from flax-transformer evaluate: --workdir"),
        ("translate hello", "Missing from flax-transformer translate: --workdir"),
        ("evaluate --workdir nothing", "nothing holds no run: train one with flax-transformer"),
        ("translate --workdir nothing", "nothing holds no run: train one with flax-transformer"),
        ("translate --workdir new a", "new holds no run: train one with flax-transformer train"),
        ("evaluate --workdir three.txt", "three.txt holds no run: train one with"),
    ],
)
def test_a_mistaken_command_gets_one_line(run, line, message):
    assert_is_error(run(*line.split()), message)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("smal.py", r"unknown experiment file 'smal.py': did you mean 'small.py'\? Known: "),
        ("nowhere/small.py", "no experiment file nowhere/small.py: give a Python file"),
        ("nothing", "unknown experiment file 'nothing'"),
        ("three.txt", r"three.txt, line 1: NameError: name 'a' is not defined; correct the file"),
        ("none.py", r"none.py defines no `experiment = Experiment\(...\)`: add one"),
        ("syntax.py", r"SyntaxError: invalid syntax \(syntax.py, line 2\); correct the file"),
        ("failing.py", "failing.py, line 3: ZeroDivisionError: division by zero; correct"),
        ("field.py", "field.py, line 10: TypeError: .* unexpected keyword argument 'num_head'"),
        ("sizes.py", "model.d_model 512 is no multiple of model.num_heads 3: change one"),
    ],
)
def test_a_mistaken_experiment_file_gets_one_line(run, folder, file, message):
    assert_is_error(run("train", file, "--workdir", "new"), message)
    assert not (folder / "new").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--model.num-head 4", "Unrecognized options: --model.num-head, 4 .*--model.num-heads INT"),
        ("--preset bsae", r"unknown preset 'bsae': did you mean 'base'\? Known: base, big"),
        ("--model.positions sinus", "unknown positional scheme 'sinus': .*sinusoidal"),
        ("--model.d-model 130 --model.num-heads 4", "d_model 130 is no multiple of .*num_heads 4"),
        ("--model.num-encoder-layers 0", "model.num_encoder_layers must be at least 1, not 0"),
        ("--model.residual-dropout-rate -0.1", r"dropout_rate must be in \[0, 1\), not -0.1"),
        ("--model.residual-dropout-rate 1", r"dropout_rate must be in \[0, 1\), not 1"),
        ("--model.d-model wide", "Error parsing --model.d-model: invalid literal for int"),
        ("--model.dtype float16", "invalid choice 'float16' for argument '--model.dtype'"),
        ("--training.num-steps 0", "training.num_steps must be at least 1, not 0"),
        ("--optimizer.schedule paper", "learning_rate 0.01 has no effect on the paper's schedule"),
        ("--data.dataset multi30k", "train_source is set, but multi30k does not read it"),
        ("--data.manual-dir x", "manual_dir is set, but text_files does not read it"),
        ("--data.train-target three.txt", "source.txt has 20 lines but .*three.txt has 3: line N"),
        ("--data.train-source gone.txt", "gone.txt does not exist: give the path of a text file"),
        ("--data.train-source empty.txt", "empty.txt is empty: give a file with one sentence"),
        ("--data.train-source latin.txt", "latin.txt, line 3 is not UTF-8: convert the file"),
        ("--data.train-source nothing", "nothing is a folder: give the path of a text file"),
        ("--data.train-split trian", r"unknown split of text_files 'trian': did you mean 'train'"),
        ("--data.tokens-per-batch 31", "tokens_per_batch 31 cannot hold 8 rows of"),
    ],
)
def test_a_mistaken_option_gets_one_line_and_writes_nothing(run, folder, options, message):
    assert_is_error(run("train", "small.py", "--workdir", "new", *options.split()), message)
    assert not (folder / "new").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("numberwords", r"unknown data set 'numberwords': did you mean 'number_words'\? Known: "),
        ("wmt14_translat/de-en", "unknown data set .* did you mean 'wmt14_translate'"),
        ("wmt14_translate/de-xx", "unknown variant of wmt14_translate 'de-xx': .* 'de-en'"),
    ],
)
def test_an_unknown_data_set_gets_one_line(run, folder, name, message):
    (folder / "default.py").write_text(f"{IMPORTS}\nexperiment = Experiment()\n")
    assert_is_error(run("train", "default.py", "--workdir", "new", "--data.dataset", name), message)
    assert not (folder / "new").exists()


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train small.py --workdir run --seed 3", r"run holds another experiment \(seed 0\): cho"),
        ("evaluate --workdir run --split tset", "unknown split of text_files 'tset'"),
        ("evaluate --workdir run --split test", "Give --data.test-source and --data.test-target"),
        ("evaluate --workdir run --weights worst", "invalid choice 'worst' for argument"),
        ("translate --workdir run --n-best 5 a", "num_best is 5: .* at most 4 .* raise beam_size"),
        ("translate --workdir run --n-best 0 a", "num_best is 0: give at least 1"),
        ("translate --workdir run --n-bets 2 a", "Unrecognized options: --n-bets.*--n-best"),
    ],
)
def test_a_mistake_about_a_trained_model_gets_one_line(run, line, message):
    assert_is_error(run(*line.split()), message)


def test_training_says_what_it_does_and_what_to_do_next(trained):
    lines = trained.splitlines()
    assert lines[0].startswith("20 sentence pairs; 1 batch shapes, each compiled once; 1 updates")
    assert re.match(r"\d+ target tokens an update over 8 cpu .*, padding \d+\.\d%", lines[1])
    assert re.search(r"│ exact_match +│ 100\.00 │", trained)
    assert f"  {PAIRS[0].source} -> {PAIRS[0].target}" in lines
    assert lines[-1] == f'  flax-transformer translate --workdir run "{PAIRS[0].source}"'


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("", {}),
        ("--model.num-heads 4", {"num_heads": 4}),
        ("--preset base", vars(PRESETS["base"])),
        ("--preset=big --model.d-ff 67", vars(PRESETS["big"]) | {"d_ff": 67}),
    ],
)
def test_options_change_the_experiment_of_the_file(run, folder, monkeypatch, options, expected):
    started = []

    def interrupted_train(experiment, *_):
        started.append(experiment)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "train", interrupted_train)
    result = run("train", "small.py", "--workdir", "new", *options.split())
    model = dataclasses.replace(MODEL, **expected)
    assert started == [dataclasses.replace(make_experiment(folder), model=model)]
    assert (result.code, result.err.count("\n")) == (130, 1)
    assert "the same command continues" in result.err


@pytest.mark.usefixtures("trained")
def test_the_same_command_finds_the_training_finished(run):
    result = run("train", "--workdir", "run", "small.py")
    assert result.code == 0
    assert "already trained for 100 steps" in result.out


@pytest.mark.usefixtures("trained")
def test_each_line_gives_one_line(run):
    sources = [PAIRS[7].source, "", PAIRS[2].source, "  ", PAIRS[19].source]
    result = run("translate", "--workdir", "run", stdin="\n".join(sources).encode())
    assert result.out == f"{PAIRS[7].target}\n\n{PAIRS[2].target}\n\n{PAIRS[19].target}\n"
    assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize(
    ("stdin", "lines"),
    [
        (b"", []),
        (b"\n", [""]),
        (b"a", ["a"]),
        (b"a\n\nb\n", ["a", "", "b"]),
        (b"a\r\n\r\nb", ["a", "", "b"]),
        ("a\u2028b\n".encode(), ["a\u2028b"]),
    ],
)
def test_only_a_line_feed_ends_a_line_of_standard_input(monkeypatch, stdin, lines):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(stdin)))
    assert list(cli.standard_input()) == [lines]


@pytest.mark.usefixtures("trained")
def test_texts_may_be_arguments(run):
    result = run("translate", PAIRS[1].source, PAIRS[0].source, "--workdir", "run")
    assert result.out == f"{PAIRS[1].target}\n{PAIRS[0].target}\n"
    assert run("translate", "--workdir", "run").out == ""


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("option", ["--n-best", "--decoding.num-best"])
def test_the_best_few_come_with_scores(run, option):
    result = run("translate", "--workdir", "run", option, "3", "--scores", PAIRS[4].source)
    found = [line.split("\t") for line in result.out.splitlines()]
    assert len(found) == 3
    assert found[0][1] == PAIRS[4].target
    assert all(re.fullmatch(r"-\d+\.\d{4}", score) for score, _ in found)
    scores = [float(score) for score, _ in found]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.usefixtures("trained")
def test_a_long_line_is_translated_with_a_warning(run):
    lines = f"{PAIRS[0].source}\n{'twenty two ' * 30}\n"
    result = run("translate", "--workdir", "run", stdin=lines.encode())
    assert result.code == 0
    assert len(result.out.splitlines()) == 2
    assert re.fullmatch(r"warning: line 2 has \d+ tokens: only the first 24 .*\n", result.err)


@pytest.mark.usefixtures("trained")
def test_invalid_utf8_on_standard_input_is_named_by_its_line(run):
    result = run("translate", "--workdir", "run", stdin=b"twenty two\n\xff\n")
    assert_is_error(result, "standard input, line 2, is not UTF-8 .* convert it")


@pytest.mark.usefixtures("trained")
def test_scores_are_printed_as_they_are_kept(run, folder):
    command = "evaluate --workdir run --json --decoding.method greedy --weights last"
    printed = json.loads(run(*command.split()).out)
    kept = json.loads((folder / "run/scores/validation-last-greedy.json").read_text())
    assert printed == kept
    assert printed["split"] == "validation"
    assert printed["checkpoint_step"] == 100
    assert printed["decoding"]["method"] == "greedy"
    assert printed["scores"]["exact_match"]["value"] == 100
    outputs = (folder / "run/scores/validation-last-greedy.txt").read_text(encoding="utf-8")
    assert outputs.splitlines() == [pair.target for pair in PAIRS]


def test_the_list_names_all_there_is(run):
    listed = json.loads(run("list", "--json", "--vocab-size", "307").out)
    assert listed["vocab_size"] == 307
    assert {name: row["parameters"] for name, row in listed["presets"].items()} == {
        name: count_parameters(config, 307) for name, config in PRESETS.items()
    }
    assert set(listed["datasets"]) == {*DATASETS, "NAME/CONFIG"}
    assert set(listed["positions"]) == set(SCHEMES)
    table = run("list").out
    assert all(name in table for name in (*PRESETS, *DATASETS, *SCHEMES))
    assert f"{count_parameters(PRESETS['base'], 37_000):,}" in table


def option_names(values, prefix=""):
    """The options of a command's fields, with dots between the parts."""
    for name, value in vars(values).items():
        if hasattr(value, "__dataclass_fields__"):
            nested = "" if name == "experiment" else f"{prefix}{name}."
            yield from option_names(value, nested)
        elif name not in ("experiment_file", "texts"):
            yield f"--{prefix}{name}".replace("_", "-")


@pytest.mark.parametrize(
    ("command", "values"),
    [
        ("train", Train(HERE, HERE)),
        ("evaluate", Evaluate(HERE)),
        ("translate", Translate((), HERE)),
        ("list", List()),
    ],
)
def test_help_shows_every_field(run, command, values):
    result = run(command, "--help")
    shown = set(re.findall(r"--[a-z0-9.-]+", result.out))
    assert result.code == 0
    assert set(option_names(values)) <= shown


def test_the_program_reads_its_arguments(folder):
    program = "from flax_transformer.cli import main; main()"
    command = [sys.executable, "-c", program, "evaluate", "--workdir", "nothing"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert_is_error(
        SimpleNamespace(code=result.returncode, out=result.stdout, err=result.stderr),
        "nothing holds no run",
    )
