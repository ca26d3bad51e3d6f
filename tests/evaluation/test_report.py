import json
import math
import os
from datetime import datetime
from importlib.metadata import version

import jax
import pytest

from flax_transformer.evaluation.report import Record, environment, write_scores
from flax_transformer.evaluation.scores import Score, bleu

TEXTS = ["zwei Hunde laufen durch den Schnee ."]


def make_record(**changes) -> Record:
    record = {
        "split": "test",
        "decoding": {"method": "beam", "beam_size": 5, "alpha": 0.6},
        "dtype": "bfloat16",
        "checkpoint_step": 1009,
        "num_averaged": 3,
        "scores": {"bleu": bleu(TEXTS, TEXTS)},
        "command": ["flax-transformer", "evaluate", "--workdir", "Prüfung 1"],
        "seed": 7,
    }
    return Record(**(record | changes))


def test_a_record_is_read_back_as_it_was_written(tmp_path):
    path, record = tmp_path / "scores" / "test.json", make_record()
    write_scores(path, record)
    read = json.loads(path.read_text(encoding="utf-8"))
    assert read.pop("scores") == {"bleu": record.scores["bleu"]._asdict()}
    assert read == {
        name: getattr(record, name) for name in record.__dataclass_fields__ if name != "scores"
    }
    assert datetime.fromisoformat(record.date).tzinfo is not None


@pytest.mark.parametrize("value", [math.inf, math.nan])
def test_a_figure_that_json_does_not_know_is_null(tmp_path, value):
    write_scores(tmp_path / "a.json", make_record(scores={"ppl": Score("ppl", value)}))
    assert "null" in (tmp_path / "a.json").read_text()
    assert json.loads((tmp_path / "a.json").read_text())["scores"]["ppl"]["value"] is None


def test_a_failed_write_leaves_the_old_record_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_scores(path, make_record(seed=1))
    with pytest.raises(TypeError):
        write_scores(path, make_record(decoding={"method": object()}))

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_scores(path, make_record(seed=2))
    assert json.loads(path.read_text())["seed"] == 1
    assert list(tmp_path.iterdir()) == [path]


def test_the_environment_names_versions_and_devices():
    found = environment()
    assert found["versions"]["jax"] == jax.__version__
    assert found["versions"]["sacrebleu"] == version("sacrebleu")
    assert found["num_devices"] == jax.device_count()
    assert found["device"] == jax.devices()[0].device_kind
    assert found["num_cores"] == os.cpu_count()
    assert json.loads(json.dumps(found)) == found
