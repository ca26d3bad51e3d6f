"""The score that chooses the best checkpoint if the wanted score is 0 at all evaluations."""

import io
import json
import math
import re

import pytest
from interrupted import crash, interrupt_batches
from rich.console import Console
from small import make_experiment, with_fields

from flax_transformer.evaluation.metric import METRICS, Metric
from flax_transformer.evaluation.scores import bleu
from flax_transformer.training import loop
from flax_transformer.training.assemble import open_checkpoints, open_run
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.resume_proof import differences
from flax_transformer.training.metrics import (
    best_step,
    deciding_score,
    scores_since_best,
    validation_scores,
)

NAMES = ("bleu", "chrf", "exact_match", "token_accuracy", "perplexity")


def write(path, *rows) -> None:
    """Writes evaluations after steps 10, 20 and so on, among other lines."""
    lines = [{"step": 5, "kind": "train", "loss": 3.0}]
    for number, row in enumerate(rows, 1):
        values = dict(zip(NAMES, row, strict=True))
        lines.append({"step": 10 * number, "kind": "validation", **values})
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


@pytest.mark.parametrize(
    ("name", "rows", "best", "decides"),
    [
        ("bleu", [(0, 3, 0, 9, 5), (0, 7, 0, 8, 6), (0, 4, 0, 7, 7)], 20, "chrf"),
        ("bleu", [(0, 0, 0, 0, 5), (0, 0, 0, 0, 2), (0, 0, 0, 0, 3)], 20, "perplexity"),
        ("exact_match", [(1, 3, 0, 9, 5), (2, 7, 0, 8, 6)], 10, "token_accuracy"),
        # One that is not 0 is better than all that are, whatever follows.
        ("bleu", [(0, 9, 9, 9, 1), (0.1, 7, 0, 8, 6), (0, 8, 0, 9, 1)], 20, "bleu"),
        # Of equal ones the first, as before, not the one whose next score is better.
        ("bleu", [(5, 3, 0, 9, 5), (5, 7, 0, 8, 6)], 10, "bleu"),
        # A loss of 0 is perfect; so is a perplexity, if there could be one.
        ("perplexity", [(0, 0, 0, 0, 2.0), (0, 0, 0, 0, 0.0)], 20, "perplexity"),
        ("perplexity", [(9, 0, 0, 0, math.nan), (0, 0, 0, 0, math.inf)], 10, "perplexity"),
        ("chrf", [(9, math.nan, 0, 0, 1), (9, 2, 0, 0, 1)], 20, "chrf"),
    ],
)
def test_a_score_of_zero_leaves_the_choice_to_the_next(tmp_path, name, rows, best, decides):
    path = tmp_path / "metrics.jsonl"
    write(path, *rows)
    scores = validation_scores(path, name)
    assert list(scores) == [10 * number for number in range(1, len(rows) + 1)]
    assert best_step(scores) == best
    assert scores_since_best(scores) == len(rows) - best // 10
    assert deciding_score(path, name) == decides


def test_without_an_evaluation_nothing_is_chosen(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert validation_scores(path, "bleu") == {}
    assert deciding_score(path, "bleu") == "bleu"


def train(experiment, folder, monkeypatch, **columns) -> str:
    """Trains with given scores after every step; gives what was printed."""
    experiment = with_fields(
        experiment,
        "training",
        num_steps=5,
        evaluate_every_steps=1,
        keep_checkpoints=1,
        best_score="bleu",
        patience=2,
    )
    evaluate = loop.Run.evaluate

    def told(self, state, log):
        step = int(self.devices.whole(state).step)
        score = self.task.evaluate

        def changed(variables, split, is_quick):
            scored = score(variables, split, is_quick=is_quick)
            values = {
                name: found._replace(value=float(columns.get(name, {}).get(step, found.value)))
                for name, found in scored.scores.items()
            }
            return scored._replace(scores=values)

        with monkeypatch.context() as patch:
            patch.setattr(self.task, "evaluate", changed)
            evaluate(self, state, log)

    with monkeypatch.context() as patch:
        patch.setattr(loop.Run, "evaluate", told)
        printed = io.StringIO()
        loop.train(experiment, folder, Console(file=printed, width=200))
    return printed.getvalue()


@pytest.mark.usefixtures("quickly_compiled")
def test_a_training_goes_on_while_the_next_score_improves(tmp_path, monkeypatch):
    bleu = dict.fromkeys(range(1, 6), 0)
    chrf = {1: 3.0, 2: 4.0, 3: 5.0, 4: 1.0, 5: 2.0}
    printed = train(make_experiment(tmp_path), tmp_path / "run", monkeypatch, bleu=bleu, chrf=chrf)
    told = re.findall("bleu has been 0 at every evaluation: .* is chosen by chrf", printed)
    assert len(told) == 1
    workdir = Workdir(tmp_path / "run")
    checkpoints = open_checkpoints(workdir, workdir.load().training, is_reader=True)
    assert (checkpoints.best_step(), checkpoints.steps()) == (3, [3, 5])
    checkpoints.close()
    with pytest.warns(UserWarning, match="bleu was 0 at every evaluation: .* the best chrf"):
        assert open_run(tmp_path / "run", "best").steps == [3]


@pytest.mark.usefixtures("quickly_compiled")
def test_a_score_that_rises_from_zero_is_the_one_to_choose_by(tmp_path, monkeypatch):
    bleu = {1: 0, 2: 0, 3: 0.5, 4: 0.25, 5: 0.25}
    chrf = {1: 30.0, 2: 40.0, 3: 5.0, 4: 50.0, 5: 60.0}
    train(make_experiment(tmp_path), tmp_path / "run", monkeypatch, bleu=bleu, chrf=chrf)
    assert open_run(tmp_path / "run", "best").steps == [3]


@pytest.mark.usefixtures("quickly_compiled")
def test_a_choice_by_another_score_does_not_depend_on_interruptions(tmp_path, monkeypatch):
    def no_bleu(hypotheses, references):
        return bleu(hypotheses, references)._replace(value=0.0)

    monkeypatch.setitem(METRICS, "bleu", Metric(no_bleu))
    experiment = with_fields(
        make_experiment(tmp_path),
        "training",
        num_steps=9,
        evaluate_every_steps=2,
        keep_checkpoints=1,
        best_score="bleu",
        patience=2,
    )
    console = Console(quiet=True)
    loop.train(experiment, tmp_path / "straight", console)
    with monkeypatch.context() as patch:
        interrupt_batches(patch, 6, crash)
        with pytest.raises(KeyboardInterrupt):
            loop.train(experiment, tmp_path / "continued", console)
    loop.train(experiment, tmp_path / "continued", console)
    path = Workdir(tmp_path / "straight").metrics
    assert deciding_score(path, "bleu") == "chrf"
    assert differences(tmp_path / "straight", tmp_path / "continued") == []
