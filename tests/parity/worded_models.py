"""Random models of transformers with a tokenizer of words, in published folders."""

from pathlib import Path
from typing import Any

import pytest
import tokenizers
from published_cases import CASES
from tokenizers import decoders, models, pre_tokenizers, processors

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[parity]'")
transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install '.[parity]'"
)

# Fewer ids than the models' tables have rows.
SPECIAL = ["<pad>", "<s>", "</s>", "<unk>", "<mask>"]
WORDS = [f"w{number}" for number in range(42)]
NUM_IDS = len(SPECIAL) + len(WORDS)


def write_tokenizer(folder: Path, template: str) -> None:
    """Writes a tokenizer of words as a fast tokenizer of transformers writes itself."""
    vocab = {word: number for number, word in enumerate([*SPECIAL, *WORDS])}
    made = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(SPECIAL)
    marks = [(mark, vocab[mark]) for mark in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single=template, special_tokens=marks)
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        mask_token="<mask>",
    ).save_pretrained(folder)


def published(
    folder: Path, case: str, template: str, architecture: str = "", **generation: Any
) -> Any:
    """Writes a random model with its tokenizer; returns that of transformers."""
    torch.manual_seed(len(case))
    kind = getattr(transformers, architecture or CASES[case].architecture)
    ids = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    model = kind(kind.config_class(**{**CASES[case].settings, **ids})).eval()
    for name, tensor in model.named_parameters():
        if "embed_positions" not in name:  # sines and cosines
            torch.nn.init.normal_(tensor, std=0.2)
    if generation:
        model.generation_config = transformers.GenerationConfig(**ids, **generation)
    model.save_pretrained(folder)
    write_tokenizer(folder, template)
    return model
