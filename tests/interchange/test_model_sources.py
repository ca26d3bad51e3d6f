"""A model of Hugging Face's Hub is fetched by its name, from a server on this machine."""

import json
import sys
import threading
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jax
import pytest
from hub_of_tests import COMMIT, Hub
from small_folders import draw_variables, write_folder

import flax_transformer as ft
from flax_transformer.errors import UserError
from flax_transformer.interchange import open_published, parameters
from flax_transformer.interchange.imported_runs import describe, write_source
from flax_transformer.interchange.model_sources import find_model
from flax_transformer.interchange.published_runs import PublishedRun


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = write_folder("gpt2", tmp_path_factory.mktemp("published"))
    for name in ("onnx", "1_Pooling"):
        (folder / name).mkdir()
    for name in (
        "1_Pooling/config.json",
        "pytorch_model.bin",
        "modeling.py",
        "consolidated.safetensors",
        "onnx/config.json",
    ):
        (folder / name).write_text("not read")
    return folder


@pytest.fixture
def hub(published, tmp_path, monkeypatch):
    constants = pytest.importorskip(
        "huggingface_hub.constants", reason="huggingface_hub is not installed: pip install '.[hub]'"
    )
    monkeypatch.setattr(Hub, "folder", published)
    monkeypatch.setattr(Hub, "asked", set())
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        yield server
        server.shutdown()
        thread.join()


def test_a_model_of_the_hub_is_that_of_its_folder(hub, tmp_path):
    _, _, variables = parameters("small/model")
    expected = draw_variables("gpt2")
    assert jax.tree.all(jax.tree.map(lambda a, b: (a == b).all(), variables, expected))
    assert Hub.asked == {"config.json", "model.safetensors", "1_Pooling/config.json"}
    source = find_model("small/model", "main")
    assert source[1:] == ("small/model", "main", COMMIT)
    model = open_published(source.folder)
    nothing: Any = None
    run = PublishedRun(model, nothing, nothing, [], source)
    assert describe(run)[0] == f"small/model at commit {COMMIT}"
    write_source(run, tmp_path / "source.json")
    found = json.loads((tmp_path / "source.json").read_text())
    assert found == {"name": "small/model", "revision": "main", "commit": COMMIT}


@pytest.mark.parametrize(
    ("name", "revision", "message"),
    [
        ("small/none", None, "no folder small/none, and no such model on the Hub: correct the na"),
        ("small/gated", None, "small/gated asks for an agreement: accept it at https://hugging"),
        ("small/model", "old", "small/model has no --revision old: give a branch, a tag or a com"),
        ("small/broken", None, "no folder small/broken, and the Hub cannot be reached: connect"),
        ("small/a--b", None, "small/a--b is not a name of the Hub (Cannot have -- or .. in repo"),
    ],
)
def test_a_model_that_cannot_be_fetched_is_reported_in_one_line(hub, name, revision, message):
    assert refused(name, revision).startswith(message)


def test_a_model_without_safetensors_says_so(hub, monkeypatch, tmp_path):
    (tmp_path / "pickles").mkdir()
    (tmp_path / "pickles" / "config.json").write_text("{}")
    monkeypatch.setattr(Hub, "folder", tmp_path / "pickles")
    assert refused("small/model").startswith("small/model has no safetensors on the Hub: give a ")


def refused(name: str, revision: str | None = None) -> str:
    with pytest.raises(UserError) as error:
        find_model(name, revision)
    assert "\n" not in str(error.value)
    assert not str(error.value).endswith(".")
    return str(error.value)


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize("value", [None, 3, b"models/gpt2", ["models/gpt2"]])
def test_what_is_no_path_is_reported_in_one_line(value):
    message = f"{value!r}: give a path as a string"
    assert refused(value) == f"the model is {message}"
    with pytest.raises(UserError) as error:
        ft.load(value)
    assert str(error.value) == f"the workdir is {message}"


def test_without_a_network_the_near_folder_is_named(hub, tmp_path):
    (tmp_path / "models" / "gpt2").mkdir(parents=True)
    hub.shutdown()
    hub.server_close()
    assert refused("modles/gpt2").endswith("; did you mean models/gpt2?")


def test_a_folder_is_not_fetched(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("models/gpt2").mkdir(parents=True)
    assert find_model("models/gpt2") == (Path("models/gpt2"), "", "", "")
    assert "leave it out" in refused("models/gpt2", "main")
    for name in ("./modles/gpt2", "~/nowhere", "gpt2", f"{tmp_path}/models/gpt3"):
        assert refused(name).startswith("no folder ")
    assert refused("./modles/gpt3") == "no folder modles/gpt3: did you mean models/gpt2?"
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert refused("modles/gpt2") == (
        "no folder modles/gpt2: did you mean models/gpt2?; to fetch it from Hugging Face's Hub, "
        "run pip install 'flax_transformer[hub]'"
    )
    assert refused("small/model").startswith("no folder small/model: give a folder; to fetch it")
