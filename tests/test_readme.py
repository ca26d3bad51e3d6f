import importlib
import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

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


def test_every_picture_of_the_table_is_where_it_says():
    rows = re.findall(r"^\| (`plot_.*?) \| .* \| (.*) \|$", README, re.M)
    assert len(rows) == 11
    for functions, files in rows:
        modules = [
            importlib.import_module(f"flax_transformer.visualization.{file}")
            for file in re.findall(r"`(\w+)`", files)
        ]
        for function in re.findall(r"`(\w+)`", functions):
            assert any(hasattr(module, function) for module in modules), function


def test_the_example_of_the_other_models_runs_after_it(names):
    names = dict(names)
    exec(example("VisionTransformer("), names)
    assert names["logits"].shape == (1, 3, 8000)
    assert names["scores"].shape == (1, 10)
    logits, _ = names["gpt2"].apply(
        names["gpt2_variables"], names["target"], names["cache"], method="decode"
    )
    assert jnp.allclose(logits, names["logits"], rtol=1e-5, atol=1e-5)


def test_the_viewer_of_images_runs_after_both(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = dict(names)
    for word in ("view_attention", "VisionTransformer(", "image_attention"):
        exec(example(word), names)
    assert (tmp_path / "image.html").read_text("utf-8").endswith("</html>\n")
