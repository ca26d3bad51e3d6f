"""Vectors of texts are those that transformers and sentence-transformers make."""

import random
from typing import Any

import numpy as np
import pytest
from worded_models import SPECIAL, WORDS, published, torch, transformers

import flax_transformer as ft
from flax_transformer.interchange.sentence_vectors import VectorSettings, write_vector_settings

pytestmark = pytest.mark.usefixtures("quickly_compiled")

# More rows than a batch has, of other lengths, in no order.
RANDOM = random.Random(5)
TEXTS = [" ".join(RANDOM.choices(WORDS, k=RANDOM.randrange(23))) for _ in range(73)]
MODELS = {
    "BERT": ("bert tokens", "BertModel"),
    "BERT with tokens": ("bert tokens", ""),
    "BERT with classes": ("bert classes", ""),
    "RoBERTa": ("roberta tokens", "RobertaModel"),
    "DistilBERT": ("distilbert tokens", "DistilBertModel"),
}


def padded(texts: list[str]) -> tuple[Any, Any]:
    """Ids and mask of one batch."""
    numbers = {word: len(SPECIAL) + number for number, word in enumerate(WORDS)}
    rows = [[1, *(numbers[word] for word in text.split()), 2] for text in texts]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    return ids, (ids != 0).to(torch.int64)


def expected(model: Any, pooling: str, counts_padding: bool = False) -> np.ndarray:
    ids, mask = padded(TEXTS)
    with torch.no_grad():
        hidden = getattr(model, model.base_model_prefix, model)(ids, mask).last_hidden_state
    is_token = (torch.ones_like(mask) if counts_padding else mask)[..., None]
    if pooling == "mean":
        return ((hidden * is_token).sum(1) / is_token.sum(1)).numpy()
    if pooling == "max":
        return hidden.masked_fill(is_token == 0, -np.inf).max(1).values.numpy()
    return hidden[:, 0].numpy()


def difference(found: np.ndarray, wanted: np.ndarray) -> float:
    assert found.shape == wanted.shape
    return float(np.abs(found - wanted).max() / np.abs(wanted).max())


@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_those_of_transformers(name, tmp_path):
    case, architecture = MODELS[name]
    model = published(tmp_path / "in", case, "<s> $A </s>", architecture)
    embedder: Any = ft.from_pretrained(tmp_path / "in")
    assert "" in TEXTS
    for pooling in ("mean", "max", "first"):
        wanted = expected(model, pooling)
        assert difference(embedder.embed(TEXTS, pooling), wanted) < 1e-5
        if pooling != "first":
            assert difference(expected(model, pooling, counts_padding=True), wanted) > 1e-3
    wanted = torch.nn.functional.normalize(torch.tensor(expected(model, "mean"))).numpy()
    assert difference(embedder.embed(TEXTS, normalize=True), wanted) < 1e-5


@pytest.mark.parametrize("name", ["BERT", "DistilBERT"])
def test_an_exported_body_gives_the_same_vectors(name, tmp_path):
    """In transformers, and imported again with the same way to make vectors."""
    case, architecture = MODELS[name]
    model = published(tmp_path / "in", case, "<s> $A </s>", architecture)
    write_vector_settings(
        tmp_path / "in", VectorSettings("max", True, 24), model.config.hidden_size
    )
    ft.interchange.import_folder(tmp_path / "in", tmp_path / "run")
    exported = ft.interchange.export_run(tmp_path / "run", tmp_path / "out")
    again = transformers.AutoModel.from_pretrained(tmp_path / "out").eval()
    assert type(again) is type(model)
    tensors = again.state_dict()
    assert all(torch.equal(tensor, tensors[key]) for key, tensor in model.state_dict().items())
    loaded: list[Any] = [ft.load(tmp_path / "run"), ft.from_pretrained(tmp_path / "out")]
    vectors, others = (one.embed(TEXTS) for one in loaded)
    np.testing.assert_array_equal(vectors, others)
    wanted = torch.nn.functional.normalize(torch.tensor(expected(again, "max"))).numpy()
    assert difference(vectors, wanted) < 1e-5
    used = {}
    exec("\n".join(exported.use).replace("A text", "w3 w1"), used)
    assert difference(used["vector"].detach().numpy(), loaded[0].embed(["w3 w1"])) < 1e-5


def test_vectors_in_bfloat16_are_near_and_have_32_bits(tmp_path):
    model = published(tmp_path / "in", "bert tokens", "<s> $A </s>", "BertModel")
    embedder: Any = ft.from_pretrained(tmp_path / "in", dtype="bfloat16")
    assert embedder.variables["params"]["embedding"]["table"].dtype == "bfloat16"
    found = embedder.embed(TEXTS)
    assert found.dtype == np.float32
    assert 1e-5 < difference(found, expected(model, "mean")) < 0.05
