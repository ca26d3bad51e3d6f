"""Long and many outputs of published models: token by token those of transformers."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_pretrained import (
    BEAM,
    LIMIT,
    NUM_IDS,
    WORDS,
    published,
    torch,
    transformers,
    without_marks,
    written,
)

import flax_transformer as ft

pytestmark = pytest.mark.usefixtures("quickly_compiled")

NUM_TEXTS, LENGTH = 50, 64
RNG = np.random.default_rng(0)
# Of one length, so that transformers needs no padding.
TEXTS = [" ".join(words) for words in RNG.choice(WORDS, (NUM_TEXTS, 5))]


def varied(model: Any, folder: Path) -> Any:
    """Scales normalizations by about 1, so that outputs depend on all tokens before them."""
    for name, tensor in model.named_parameters():
        if "norm" in name and name.endswith("weight"):
            tensor.data += 1
    model.save_pretrained(folder)
    return model


def generated(model: Any, folder: Path) -> list[list[int]]:
    """Ids that transformers writes up to the end mark, without the prompts."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer(text)["input_ids"] for text in TEXTS])
    rows = model.generate(ids, attention_mask=torch.ones_like(ids)).tolist()
    start = 1 if model.config.is_encoder_decoder else ids.shape[1]
    rows = [row[start:] for row in rows]
    return without_marks([row[: row.index(2)] if 2 in row else row for row in rows], NUM_IDS)


@pytest.mark.parametrize("case", ["gpt2", "llama"])
def test_64_tokens_of_50_prompts_are_those_of_transformers(case, tmp_path):
    template = "<s> $A" if case == "llama" else "$A"
    model = published(tmp_path, case, template, max_new_tokens=LENGTH, do_sample=False)
    model = varied(model, tmp_path)
    generator: Any = ft.from_pretrained(tmp_path)
    found = [text for (text,) in generator.generate(TEXTS, length=LENGTH)]
    expected = generated(model, tmp_path)
    assert len(set(map(tuple, expected))) > 40
    assert sum(map(len, expected)) > 20 * NUM_TEXTS
    assert written(found) == expected


@pytest.mark.parametrize("case", ["marian", "bart", "t5"])
def test_a_full_beam_writes_what_transformers_writes_for_50_sources(case, tmp_path):
    begin = 2 if case == "bart" else 0
    options: dict[str, Any] = {**BEAM, "decoder_start_token_id": begin, "min_length": 6}
    template = "<s> $A </s>" if case == "bart" else "$A </s>"
    model = varied(published(tmp_path, case, template, **options), tmp_path)
    translator: Any = ft.from_pretrained(tmp_path)
    assert translator.decoding.beam == "refill"
    num_read = len(translator.tokenizer.encode(TEXTS[0], marked=True))
    decoding = dataclasses.replace(translator.decoding, max_extra_length=LIMIT - num_read)
    expected = generated(model, tmp_path)
    assert len(set(map(tuple, expected))) > 5
    assert sum(map(len, expected)) > 10 * NUM_TEXTS
    assert written(translator.translate(TEXTS, decoding)) == expected
