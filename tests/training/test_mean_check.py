"""After a short training, the mean of its checkpoints is worse than the last one."""

import contextlib
import io
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from small import with_fields
from small_texts import masked

from flax_transformer.training.assemble import evaluate, open_checkpoints, open_run
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.loop import train
from flax_transformer.training.mean_check import advice_against_mean
from flax_transformer.training.parallel import choose_devices


@pytest.fixture(scope="module")
def short(tmp_path_factory, quickly_compiled):
    """The workdir of a training of five steps that averages them all, and what it printed."""
    folder = tmp_path_factory.mktemp("short")
    experiment = with_fields(
        masked(folder),
        "training",
        num_steps=5,
        evaluate_every_steps=1,
        checkpoint_every_steps=1,
        keep_checkpoints=5,
    )
    printed = io.StringIO()
    train(experiment, folder / "run", Console(file=printed, width=200))
    return folder / "run", printed.getvalue()


def test_a_training_reports_a_mean_that_is_worse_and_the_weights_to_give(short):
    path, printed = short
    said = re.findall(
        r"the mean of the last 5 checkpoints is worse than the checkpoint of step 5 \(validation "
        r"loss (\S+), not (\S+)\): give --weights (best|last) to the next",
        printed,
    )
    assert len(said) == 1
    mean, single, weights = said[0]
    assert float(mean) > float(single)
    # These are the scores that the user then gets.
    kinds: list[Any] = ["average", weights]
    for kind, value in zip(kinds, (mean, single), strict=True):
        record, _ = evaluate(path, "validation", weights=kind)
        assert record.scores["loss"].value == pytest.approx(float(value), abs=1e-3)


@pytest.mark.parametrize(
    ("loss", "keep", "expected"),
    [
        (0.001, 5, None),
        (50.0, 1, None),
        (50.0, 3, r"the last 3 checkpoints is worse .* loss 50\.0000, not "),
    ],
)
def test_only_a_mean_with_a_worse_score_is_reported(short, monkeypatch, loss, keep, expected):
    path, _ = short
    run = open_run(path, "last")
    experiment = with_fields(run.experiment, "training", keep_checkpoints=keep)
    scored = SimpleNamespace(scores={"loss": SimpleNamespace(value=loss)})
    monkeypatch.setattr(run.task, "evaluate", lambda *_, **__: scored)
    with contextlib.closing(
        open_checkpoints(Workdir(path), experiment.training, is_reader=True)
    ) as checkpoints:
        advice = advice_against_mean(
            run.task, checkpoints, Workdir(path), experiment, choose_devices()
        )
    assert re.search(expected, advice or "") if expected else advice is None
