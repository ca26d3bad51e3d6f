"""Runs the code of README.md and of the guides as it is given, and holds README.md short."""

import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import optax
import pytest

import flax_transformer as ft

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
GUIDES = ROOT / "docs" / "guides"


def example(page: str, word: str) -> str:
    """The first block of Python with a word, of a guide."""
    text = (GUIDES / f"{page}.md").read_text("utf-8")
    return next(block for block in blocks(text) if word in block)


def blocks(text: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", text, re.S)


def prose() -> list[str]:
    """The paragraphs and items of README.md: without code, tables, headings and addresses."""
    text = re.sub(r"```.*?```", "", README, flags=re.S)
    text = re.sub(r"^(\||#|!\[|\[\w+\]: ).*$", "", text, flags=re.M)
    text = re.sub(r"\]\([^)]*\)", "]", text)
    return [part for part in re.split(r"\n\s*\n|\n(?=- )", text) if part.strip()]


def test_the_readme_is_short():
    lines = README.splitlines()
    assert len(lines) <= 130
    assert max(len(line) for line in lines if line.startswith("|")) <= 160
    assert max(len(part.split()) for part in prose()) <= 60


def test_its_sentences_are_short():
    sentences = [one for part in prose() for one in re.split(r"(?<=[.!?])\s+", part.strip())]
    words = [len(sentence.split()) for sentence in sentences]
    assert sum(words) / len(words) < 18


def test_its_links_lead_to_files():
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README):
        assert (ROOT / target).exists(), target


def test_its_library_example_runs():
    (block,) = blocks(README)
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["weights"].shape == (7, 7)
    assert names["logits"].shape == (1, 3, 8000)


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """What the library example of the guide has defined."""
    names: dict[str, Any] = {}
    exec(example("library", "attend("), names)
    return names


def test_the_library_example_runs(names):
    assert names["weights"].shape == (7, 7)
    assert names["logits"].shape == (1, 1, 8000)
    full = names["model"].apply(names["variables"], names["source"], names["target"])
    assert jnp.allclose(names["logits"][:, 0], full[:, -1], rtol=1e-5, atol=1e-5)


def test_a_step_of_your_own_and_activations_run_after_it(names):
    values: dict[str, Any] = {**names, "optax": optax}
    exec(example("library", "def loss("), values)
    exec(example("library", "activations("), values)
    assert values["value"] > 0
    weights = values["named"]["decoder.0.cross_attention.weights"]
    assert jnp.allclose(weights.sum(-1), 1, atol=1e-5)


def test_the_viewer_example_runs_after_it(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(example("attention_viewer", "view_attention"), dict(names))
    assert (tmp_path / "attention.html").read_text("utf-8").endswith("</html>\n")


def test_the_pictures_run_after_it(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(example("figures", "plot_search_tree"), dict(names))
    assert {path.name for path in tmp_path.iterdir()} == {"mask.svg", "encodings.png", "tree.png"}


def test_the_table_of_figures_has_them_all():
    page = (GUIDES / "figures.md").read_text("utf-8")
    rows = re.findall(r"^\| (`plot_.*?) \| .* \|$", page, re.M)
    named = {name for functions in rows for name in re.findall(r"`(\w+)`", functions)}
    assert named == {name for name in dir(ft.visualization) if name.startswith("plot_")} - {
        "plot_positions"  # a command, above the table
    }


def test_the_example_of_a_training_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = example("library", "ft.train(").replace("num_steps=200", "num_steps=2")
    few = '"number_words", validation_split="validation[:5]", test_split="test[:5]",'
    text = text.replace('"number_words",', few)
    names: dict[str, Any] = {"ft": ft}
    exec(text, names)
    assert names["record"].split == "test[:5]"


def test_the_example_of_the_other_models_runs_after_it(names):
    names = dict(names)
    exec(example("library", "ft.VisionConfig("), names)
    assert names["logits"].shape == (1, 3, 8000)
    assert names["scores"].shape == (1, 10)
    logits, _ = names["gpt2"].apply(
        names["gpt2_variables"], names["target"], names["cache"], method="decode"
    )
    assert jnp.allclose(logits, names["logits"], rtol=1e-5, atol=1e-5)


def test_the_viewer_of_images_runs_after_both(names, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = dict(names)
    exec(example("library", "ft.VisionConfig("), names)
    exec(example("attention_viewer", "image_attention"), names)
    assert (tmp_path / "image.html").read_text("utf-8").endswith("</html>\n")


def test_the_guide_of_inspection_runs():
    names: dict[str, Any] = {}
    exec(example("inspection", "ft.inspection"), names)
    assert names["weights"]["decoder.3.cross_attention.weights"].shape == (1, 4, 3, 4)
    assert names["layers"].shape == (4, 1, 3, 100)
    logits = names["model"].apply(names["variables"], names["source"], names["target"])
    for changed in ("without", "steered", "patched"):
        assert jnp.abs(names[changed] - logits).max() > 1e-4
    total = sum(part.reshape(1, 3, -1).sum(-1) for part in names["parts"].values())
    chosen = jnp.take_along_axis(logits, names["target"][..., None], axis=-1)[..., 0]
    assert jnp.allclose(total, chosen, rtol=1e-4, atol=1e-4)


def test_the_search_of_the_guide_runs():
    names: dict[str, Any] = {}
    exec(example("decoding", "greedy_search"), names)
    assert names["found"].tokens.shape == (1, 1, 8)
