import json
import shutil

import pytest
from command_line import assert_is_error

from flax_transformer.commands import plot_command


@pytest.fixture
def drawn(monkeypatch):
    """The figures that a command makes."""
    figures, plot_curves = [], plot_command.plot_curves

    def plot(*given):
        figures.append(plot_curves(*given))
        return figures[-1]

    monkeypatch.setattr(plot_command, "plot_curves", plot)
    return figures


def lines(axes):
    return {line.get_label(): line.get_xydata().tolist() for line in axes.get_lines()}


def measured(workdir, kind, name):
    read = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [[line["step"], line[name]] for line in read if line["kind"] == kind]


def test_the_curves_of_a_workdir_are_those_of_its_metrics(trained, folder, run, drawn):
    result = run("plot", "run")
    assert (result.code, result.out) == (0, "drawn in curves.png\n")
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    loss, score = drawn[0].axes
    assert lines(loss) == {"run": measured(folder / "run", "train", "loss")}
    assert lines(score) == {"run": measured(folder / "run", "validation", "chrf")}


def test_workdirs_stand_side_by_side_even_if_one_was_cut_off(trained, folder, run, drawn, tmp_path):
    other = shutil.copytree(folder / "run", tmp_path / "run")
    with (other / "metrics.jsonl").open("a") as metrics:
        metrics.write('{"step": 7, "kind": "tr')
    out = tmp_path / "curves.svg"
    assert run("plot", "run", str(other), "--out", str(out), "--score", "perplexity").code == 0
    loss, score = drawn[0].axes
    assert set(lines(loss)) == set(lines(score)) == {"run", str(other)}
    assert "perplexity" in score.get_title(loc="left")
    assert b"<svg" in out.read_bytes()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no workdir to plot: name one"),
        (["nothing"], "nothing holds no run"),
        (["run", "rnu"], "rnu holds no run"),
        (["run", "--out", "missing/curves.png"], "no folder missing for the picture curves.png"),
        (["nothing", "--out", "/dev/null"], "/dev/null is not a file: give another name for the"),
        (["run", "--out", "curves.docx"], r"curves\.docx: end its name in one of .*\.png"),
        (["run", "--score", "chfr"], "unknown --score 'chfr': did you mean 'chrf'"),
        (["begun"], "begun has measured no training loss yet"),
        (["run", "gap"], "gap has measured no training loss yet"),
        (["unscored", "--score", "chrf"], "--score chrf has no values yet: leave it out"),
    ],
)
def test_a_mistake_gets_one_line_and_the_old_picture_stays(trained, folder, run, words, message):
    line = '{"step": 1, "kind": "train", "loss": 3.5}\n'
    metrics = {"begun": "", "gap": line.replace("3.5", "null"), "unscored": line}
    for name, kept in metrics.items():
        shutil.copytree(folder / "run", folder / name, dirs_exist_ok=True)
        (folder / name / "metrics.jsonl").write_text(kept)
    (folder / "curves.png").write_text("old")
    assert_is_error(run("plot", *words), message)
    assert (folder / "curves.png").read_text() == "old"
