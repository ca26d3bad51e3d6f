"""A task, its data and its model that are registered from outside of the package."""

import dataclasses
import json

import pytest
from text_models import CONFIG, MODEL

from flax_transformer.cli import main
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment, write_experiment
from flax_transformer.models import DecoderOnlyConfig
from flax_transformer.models.zoo import ZOO
from flax_transformer.tasks.language_modeling.language_modeling_task import LanguageModelingTask
from flax_transformer.tasks.task_config import TaskConfig
from flax_transformer.tasks.tasks import TASKS, find_task
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.training_config import TrainingConfig


@dataclasses.dataclass(frozen=True)
class EchoData(PlainTextConfig):
    """Texts with an echo."""

    echoes: int = 1
    """How often."""


@dataclasses.dataclass(frozen=True)
class EchoModel(DecoderOnlyConfig):
    """A model of echoes."""

    gives = "echoes"
    loudness: float = 1.0
    """How loud."""


@dataclasses.dataclass(frozen=True)
class EchoConfig(TaskConfig):
    """How echoes are learned."""

    distance: int = 1
    """Of the wall."""


class EchoTask(LanguageModelingTask):
    """Continues texts as language modeling does."""

    config, reads, takes = EchoConfig, (EchoData,), ("tokens", "echoes")
    scores = ("token_accuracy", "loss")


@pytest.fixture
def registered(monkeypatch):
    monkeypatch.setitem(TASKS, "echo", EchoTask)
    entry = ZOO["gpt2-small"]
    model = dataclasses.replace(entry.model, config=EchoModel())
    monkeypatch.setitem(ZOO, "echo-small", entry._replace(model=model))


def experiment(folder) -> Experiment:
    files = {}
    for name, text in CONFIG.items():
        (folder / f"{name}.txt").write_text(text)
        files[f"{name}_text"] = str(folder / f"{name}.txt")
    data = EchoData(
        dataset="plain_text",
        data_dir=str(folder / "prepared"),
        tokens="characters",
        max_length=17,
        batch_size=8,
        **files,
    )
    sizes = {field.name: getattr(MODEL, field.name) for field in dataclasses.fields(MODEL)}
    training = TrainingConfig(num_steps=2, keep_checkpoints=1)
    return Experiment(data, EchoModel(**sizes), EchoConfig(), training=training)


@pytest.mark.usefixtures("registered")
def test_it_is_found_takes_its_defaults_and_survives_json(tmp_path):
    one = experiment(tmp_path)
    assert find_task(one) == ("echo", EchoTask)
    assert one.training.best_score == "token_accuracy"
    assert one.decoding is not None
    written = json.loads(json.dumps(one.to_json()))
    kinds = [written[part]["kind"] for part in ("data", "model", "task")]
    assert kinds == ["EchoData", "EchoModel", "EchoConfig"]
    assert Experiment.from_json(written) == one


def test_what_is_not_registered_is_refused_in_one_line(tmp_path, registered, monkeypatch):
    one = experiment(tmp_path)
    with pytest.raises(UserError, match=r"EchoConfig goes with EchoData, not PlainTextConfig"):
        dataclasses.replace(one, data=PlainTextConfig())
    with pytest.raises(UserError, match=r"model that reads tokens and gives echoes, not Decoder"):
        dataclasses.replace(one, model=MODEL)
    monkeypatch.delitem(TASKS, "echo")
    with pytest.raises(UserError, match="unknown config of a task 'EchoConfig'"):
        experiment(tmp_path)


@pytest.mark.usefixtures("registered", "quickly_compiled", "unchecked_types")
def test_the_command_line_trains_and_uses_it(tmp_path, capsys):
    path = tmp_path / "experiment.json"
    write_experiment(path, experiment(tmp_path))
    workdir = str(tmp_path / "run")
    options = ["--data.echoes", "2", "--model.loudness", "0.5", "--task.distance", "3"]
    main(["train", str(path), "--workdir", workdir, *options])
    assert "generate something of your own" in capsys.readouterr().out
    loaded = Workdir(tmp_path / "run").load()
    changed = loaded.data.echoes, loaded.model.loudness, loaded.task.distance  # pyright: ignore
    assert changed == (2, 0.5, 3)
    main(["generate", "abc", "--workdir", workdir, "--length", "3"])
    assert capsys.readouterr().out
    main(["list"])
    assert "echo" in capsys.readouterr().out
