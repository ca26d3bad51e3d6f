"""Small models of transformers as published folders, and what they compute beside ours."""

import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import torch
from published_cases import CASES, VOCAB, Case

REASON = "Hugging Face's transformers is not installed: pip install '.[parity]'"
transformers: Any = pytest.importorskip("transformers", reason=REASON)

LENGTHS = (200, 3, 101)
LENGTH = max(LENGTHS)
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, VOCAB, (len(LENGTHS), LENGTH))
# Padding on the right; that of texts to continue is on the left.
RIGHT = np.arange(LENGTH) < np.array(LENGTHS)[:, None]
LEFT = RIGHT[:, ::-1].copy()
# They number positions by counting tokens that are not padding, which has the id 1.
COUNTS_TOKENS = ("roberta", "m2m_100")


def draw_model(case: Case) -> Any:
    """Makes a model whose weights, norms and biases all matter."""
    kind = getattr(transformers, case.architecture)
    options = {"attn_implementation": "eager", "experts_implementation": "eager"}
    model = kind(kind.config_class(**options, **case.settings)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "embed_positions" in name and not weight.requires_grad:
                continue  # a table of sines
            noise = 0.2 * torch.randn(weight.shape, generator=generator)
            weight.copy_(weight + noise if weight.ndim == 1 else noise)
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.copy_(torch.randn(1, VOCAB, generator=generator))
    return model


def has_own_logits(name: str) -> bool:
    return name == "t5 1.1"


@functools.cache
def images() -> np.ndarray:
    return RNG.normal(size=(3, 15, 21, 3)).astype(np.float32)


def their_logits(model: Any) -> Any:
    """The logits at tokens, of texts or of images."""
    with torch.no_grad():
        return call_them(model).numpy()


def call_them(model: Any) -> Any:
    config, tokens = model.config, torch.tensor(TOKENS)
    if config.model_type == "vit":
        return model(torch.tensor(images()).permute(0, 3, 1, 2)).logits
    written = tokens.flip(1)[:, :7]
    if config.model_type in COUNTS_TOKENS:
        tokens, written = (torch.clamp(ids, min=2) for ids in (tokens, written))
        tokens = torch.where(torch.tensor(RIGHT), tokens, 1)
    mask = torch.tensor(RIGHT if not is_decoder(config) else LEFT)
    given = {"input_ids": tokens, "attention_mask": mask.long()}
    if config.is_encoder_decoder:
        given |= {
            "decoder_input_ids": written,
            "decoder_attention_mask": torch.ones(3, 7, dtype=torch.long),
        }
    elif is_decoder(config):
        given["position_ids"] = torch.clamp(torch.cumsum(mask, 1) - 1, min=0)
    elif config.model_type == "bert":
        given["token_type_ids"] = tokens % 2
    return model(**given, **({"use_cache": False} if is_decoder(config) else {})).logits


def is_decoder(config: Any) -> bool:
    return config.architectures[0].endswith(("LMHeadModel", "ForCausalLM"))


def our_logits(architectures: str, module: Any, model_type: str, factors: bool = False) -> Any:
    """Makes the function of variables and of the mask of the same logits, or of their factors."""

    def logit_factors(module: Any, *inputs: Any, **options: Any) -> Any:
        return module.embedding.logit_factors(module.represent(*inputs, **options))

    method: Any = logit_factors if factors else None

    def call(variables, tokens, mask):
        if model_type == "vit":
            return module.apply(variables, jnp.asarray(images()))
        segments = mask.astype(jnp.int32)
        written = tokens[:, ::-1][:, :7]
        if model_type in COUNTS_TOKENS:
            tokens, written = (jnp.maximum(ids, 2) for ids in (tokens, written))
        if module.config.gives == "target_tokens":
            inputs = tokens, written
            return module.apply(variables, *inputs, source_segments=segments, method=method)
        if module.config.gives == "next_tokens":
            return module.apply(variables, tokens, segments=segments, method=method)
        head = "classify" if "Classification" in architectures else "predict_tokens"
        sentences = tokens % 2 if model_type == "bert" else None
        return module.apply(variables, tokens, sentences=sentences, segments=segments, method=head)

    return jax.jit(call)


@functools.cache
def published(name: str, folder: Path) -> Any:
    """Writes a folder of a case, and returns the model that transformers reads from it."""
    case = CASES[name]
    model = draw_model(case)
    model.save_pretrained(folder)
    if has_own_logits(name):
        add_own_logits(folder, RNG.normal(size=(VOCAB, 36)).astype(np.float32))
        settings = json.loads((folder / "config.json").read_text())
        del settings["scale_decoder_outputs"]
        settings["tie_word_embeddings"] = False
        (folder / "config.json").write_text(json.dumps(settings))
    return from_pretrained(type(model), folder)[0]


def add_own_logits(folder: Path, table: np.ndarray) -> None:
    """Writes a matrix that published folders have, although it is not written any more."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors") | {"lm_head.weight": table}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def from_pretrained(kind: Any, folder: Path) -> tuple[Any, Any]:
    """Lets transformers read a folder; returns also what it found missing."""
    options = {"attn_implementation": "eager", "experts_implementation": "eager"}
    model, report = kind.from_pretrained(folder, output_loading_info=True, **options)
    return model.eval(), report


def counted(config: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The places whose logits count."""
    if len(shape) == 2 or config.is_encoder_decoder:
        return np.ones(shape[:-1], bool)
    return LEFT if is_decoder(config) else RIGHT


def distance(actual: Any, expected: np.ndarray) -> float:
    return float(np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max())


def without_influence(path: str, config: Any) -> bool:
    """A bias of keys adds one number to all scores of a query, unless keys are rotated."""
    return path.endswith("key/bias") and config.positions != "rotary"
