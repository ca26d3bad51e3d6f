"""A small published encoder without a head, with a tokenizer of words."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tokenizers
from flax.traverse_util import flatten_dict, unflatten_dict
from tokenizers import models, pre_tokenizers, processors

from flax_transformer.interchange import export_folder
from flax_transformer.models import EncoderOnlyConfig

MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["Ada", "Ben", "Cleo", "Dan", "Eve", "greets", "calls"]
MODEL = EncoderOnlyConfig(
    num_layers=1, d_model=12, d_ff=7, num_heads=3, max_positions=19, norm_epsilon=1e-3
)
MEAN = {"word_embedding_dimension": 12, "pooling_mode_mean_tokens": True}


def write_body(folder: Path, *methods: str) -> Path:
    """Writes a random BERT with the parameters of some methods, by default only its body."""
    vocab = {word: number for number, word in enumerate([*MARKS, *WORDS])}
    model = MODEL.build(vocab_size=len(vocab))
    params: dict[str, Any] = {}
    for method in methods or ("__call__",):
        params |= model.init(jax.random.key(0), jnp.ones((1, 1), int), method=method)["params"]
    rng = np.random.default_rng(3)
    flat: dict[Any, Any] = flatten_dict(params)
    flat = {path: rng.normal(0, 0.3, flat[path].shape).astype("f") for path in sorted(flat)}
    export_folder(MODEL, {"params": unflatten_dict(flat)}, folder, family="bert")
    made = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(MARKS)
    made.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made.save(str(folder / "tokenizer.json"))
    names = {f"{mark.strip('[]').lower()}_token": mark for mark in MARKS}
    (folder / "tokenizer_config.json").write_text(json.dumps(names))
    return folder


def write_sentence_vectors(folder: Path, **files: Any) -> Path:
    """Writes the files of sentence-transformers: "pooling", "tokens", "prompts" and "kinds"."""
    kinds = files.get("kinds", ["Transformer", "Pooling", "Normalize"])
    places = {"Pooling": "1_Pooling", "Normalize": "2_Normalize", "Dense": "2_Dense"}
    modules = [
        {"idx": i, "type": f"sentence_transformers.models.{kind}", "path": places.get(kind, "")}
        for i, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(files.get("pooling", MEAN)))
    for name, file in (
        ("tokens", "sentence_bert_config.json"),
        ("prompts", "config_sentence_transformers.json"),
    ):
        if name in files:
            (folder / file).write_text(json.dumps(files[name]))
    return folder
