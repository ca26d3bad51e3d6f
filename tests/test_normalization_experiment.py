import io
import runpy
from pathlib import Path

import pytest
from rich.console import Console
from small import make_experiment, with_fields

from flax_transformer.training.checkpoints.workdir import Workdir

SCRIPT = Path(__file__).parent.parent / "experiments" / "normalization.py"


@pytest.mark.slow
def test_both_norms_are_trained_alike_and_drawn(tmp_path):
    experiment = with_fields(make_experiment(tmp_path / "data"), "training", num_steps=2)
    printed = io.StringIO()
    compare = runpy.run_path(str(SCRIPT))["compare"]
    compare(experiment, tmp_path / "runs", Console(file=printed))
    found = {name: Workdir(tmp_path / "runs" / name).load() for name in ("layer", "batch")}
    for name, run in found.items():
        assert run.model.norm == name
        assert with_fields(run, "model", norm="layer") == found["layer"]
    table = printed.getvalue().partition("after 2 updates")[2]
    assert "training loss" in table
    assert "validation chrf" in table
    assert (tmp_path / "runs" / "curves.png").read_bytes().startswith(b"\x89PNG")
