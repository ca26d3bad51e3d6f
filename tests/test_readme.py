import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

import flax_transformer as ft

README = (Path(__file__).parent.parent / "README.md").read_text()


def example(word: str) -> str:
    return next(
        block for block in re.findall(r"```python\n(.*?)```", README, re.S) if word in block
    )


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the library example has defined."""
    names: dict[str, Any] = {}
    exec(example("attend("), names)
    return names


def test_the_library_example_runs(names):
    assert names["weights"].shape == (7, 7)
    assert names["logits"].shape == (1, 1, 8000)
    full = names["model"].apply(names["variables"], names["source"], names["target"])
    assert jnp.allclose(names["logits"][:, 0], full[:, -1], rtol=1e-5, atol=1e-5)


def test_the_viewer_example_runs_after_it(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(example("view_attention"), dict(names))
    assert (tmp_path / "attention.html").read_text("utf-8").endswith("</html>\n")


def test_the_pictures_run_after_it(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(example("plot_search_tree"), dict(names))
    assert {path.name for path in tmp_path.iterdir()} == {"mask.svg", "encodings.png", "tree.png"}


def test_the_table_of_pictures_has_them_all():
    rows = re.findall(r"^\| (`plot_.*?) \| .* \|$", README, re.M)
    named = {name for functions in rows for name in re.findall(r"`(\w+)`", functions)}
    assert named == {name for name in dir(ft.visualization) if name.startswith("plot_")} - {
        "plot_positions"  # a command, above the table
    }


def test_the_example_of_a_training_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = example("ft.train(").replace("num_steps=200", "num_steps=2")
    few = '"number_words", validation_split="validation[:5]", test_split="test[:5]",'
    text = text.replace('"number_words",', few)
    names: dict[str, Any] = {"ft": ft}
    exec(text, names)
    assert names["record"].split == "test[:5]"


def test_the_example_of_the_other_models_runs_after_it(names):
    names = dict(names)
    exec(example("ft.VisionConfig("), names)
    assert names["logits"].shape == (1, 3, 8000)
    assert names["scores"].shape == (1, 10)
    logits, _ = names["gpt2"].apply(
        names["gpt2_variables"], names["target"], names["cache"], method="decode"
    )
    assert jnp.allclose(logits, names["logits"], rtol=1e-5, atol=1e-5)


def test_the_viewer_of_images_runs_after_both(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = dict(names)
    for word in ("view_attention", "ft.VisionConfig(", "image_attention"):
        exec(example(word), names)
    assert (tmp_path / "image.html").read_text("utf-8").endswith("</html>\n")
