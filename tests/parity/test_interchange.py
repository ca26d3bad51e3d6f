"""Folders that transformers writes: their logits in our modules, and ours read back by it."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import torch
from flax.traverse_util import flatten_dict, unflatten_dict
from published_cases import CASES, VOCAB, Case
from reference import assert_close

from flax_transformer.interchange import FAMILIES, export_folder, parameters
from flax_transformer.interchange.config_fields import COMMON_KEYS

REASON = "Hugging Face's transformers is not installed: pip install '.[parity]'"
transformers: Any = pytest.importorskip("transformers", reason=REASON)

LENGTHS, TOLERANCE = (200, 3, 101), 1e-5
LENGTH = max(LENGTHS)
RNG = np.random.default_rng(0)
TOKENS = RNG.integers(0, VOCAB, (len(LENGTHS), LENGTH))
# Padding on the right; that of texts to continue is on the left.
RIGHT = np.arange(LENGTH) < np.array(LENGTHS)[:, None]
LEFT = RIGHT[:, ::-1].copy()


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
    config, tokens = model.config, torch.tensor(TOKENS)
    if config.model_type == "vit":
        with torch.no_grad():
            return model(torch.tensor(images()).permute(0, 3, 1, 2)).logits.numpy()
    if config.model_type == "roberta":
        # It numbers positions by counting tokens that are not padding.
        tokens = torch.where(torch.tensor(RIGHT), torch.clamp(tokens, min=2), 1)
    mask = torch.tensor(RIGHT if not is_decoder(config) else LEFT)
    given = {"input_ids": tokens, "attention_mask": mask.long()}
    if config.is_encoder_decoder:
        given |= {
            "decoder_input_ids": tokens.flip(1)[:, :7],
            "decoder_attention_mask": torch.ones(3, 7, dtype=torch.long),
        }
    elif is_decoder(config):
        given["position_ids"] = torch.clamp(torch.cumsum(mask, 1) - 1, min=0)
    elif config.model_type == "bert":
        given["token_type_ids"] = tokens % 2
    with torch.no_grad():
        return model(**given, **({"use_cache": False} if is_decoder(config) else {})).logits.numpy()


def is_decoder(config: Any) -> bool:
    return config.architectures[0].endswith(("LMHeadModel", "ForCausalLM"))


def our_logits(architectures: str, module: Any, model_type: str) -> Any:
    """Makes the function of variables and of the mask of the same logits."""

    def call(variables, tokens, mask):
        if model_type == "vit":
            return module.apply(variables, jnp.asarray(images()))
        segments = mask.astype(jnp.int32)
        if model_type == "roberta":
            tokens = jnp.where(RIGHT, jnp.maximum(tokens, 2), 1)
        if module.config.gives == "target_tokens":
            return module.apply(variables, tokens, tokens[:, ::-1][:, :7], source_segments=segments)
        if module.config.gives == "next_tokens":
            return module.apply(variables, tokens, segments=segments)
        method = "classify" if "Classification" in architectures else "predict_tokens"
        sentences = tokens % 2 if model_type == "bert" else None
        return module.apply(
            variables, tokens, sentences=sentences, segments=segments, method=method
        )

    return jax.jit(call)


@functools.cache
def published(name: str, folder: Path) -> Any:
    """Writes a folder of a case, and returns the model that transformers reads from it."""
    case = CASES[name]
    model = draw_model(case)
    model.save_pretrained(folder)
    if has_own_logits(name):
        # Published folders have it, but it is not written any more.
        from safetensors.numpy import load_file, save_file

        tensors = load_file(folder / "model.safetensors")
        tensors["lm_head.weight"] = RNG.normal(size=(VOCAB, 36)).astype(np.float32)
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        settings = json.loads((folder / "config.json").read_text())
        del settings["scale_decoder_outputs"]
        settings["tie_word_embeddings"] = False
        (folder / "config.json").write_text(json.dumps(settings))
    return from_pretrained(type(model), folder)[0]


def from_pretrained(kind: Any, folder: Path) -> tuple[Any, Any]:
    """Lets transformers read a folder; returns also what it found missing."""
    options = {"attn_implementation": "eager", "experts_implementation": "eager"}
    model, report = kind.from_pretrained(folder, output_loading_info=True, **options)
    return model.eval(), report


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    return request.param, folder, published(request.param, folder)


def counted(config: Any, shape: tuple[int, ...]) -> np.ndarray:
    """The places whose logits count."""
    if len(shape) == 2 or config.is_encoder_decoder:
        return np.ones(shape[:-1], bool)
    return LEFT if is_decoder(config) else RIGHT


def distance(actual: Any, expected: np.ndarray) -> float:
    return float(np.abs(np.asarray(actual) - expected).max() / np.abs(expected).max())


def test_logits_are_those_of_transformers(case):
    name, folder, theirs = case
    config, module, variables = parameters(folder)
    expected = their_logits(theirs)
    places = counted(theirs.config, expected.shape)
    kind = theirs.config.model_type
    call = our_logits(CASES[name].architecture, module, kind)
    mask = jnp.asarray(LEFT if is_decoder(theirs.config) else RIGHT)

    def wrong(variables: Any, call: Any = call, mask: Any = mask) -> float:
        return distance(np.asarray(call(variables, TOKENS, mask))[places], expected[places])

    assert_close(np.asarray(call(variables, TOKENS, mask))[places], expected[places], TOLERANCE)
    # It would fail by 100 times without any tensor, without the mask, or with other positions.
    flat: dict[str, Any] = flatten_dict(variables["params"], sep="/")
    for path, array in flat.items():
        if not without_influence(path, config):
            dropped = unflatten_dict(flat | {path: jnp.zeros_like(array)}, sep="/")
            assert wrong({"params": dropped}) > 100 * TOLERANCE, path
    if kind != "vit":
        assert wrong(variables, mask=jnp.ones_like(mask)) > 100 * TOLERANCE
    tables = [path for path in flat if path.endswith("positions/table")]
    if tables:
        shifted = {path: jnp.roll(flat[path], 1, axis=0 if kind != "t5" else 1) for path in tables}
        assert wrong({"params": unflatten_dict(flat | shifted, sep="/")}) > 100 * TOLERANCE
    else:
        change = (
            {"rotary_base": config.rotary_base * 1.1}
            if config.positions == "rotary"
            else {"position_offset": 1}
        )
        other = dataclasses.replace(module, config=dataclasses.replace(config, **change))
        other_call = our_logits(CASES[name].architecture, other, kind)
        assert wrong(variables, other_call) > 100 * TOLERANCE


def without_influence(path: str, config: Any) -> bool:
    """A bias of keys adds one number to all scores of a query, unless keys are rotated."""
    return path.endswith("key/bias") and config.positions != "rotary"


def test_an_export_is_what_was_imported(case, tmp_path):
    _, folder, theirs = case
    config, _, variables = parameters(folder)
    settings = json.loads((folder / "config.json").read_text())
    others = {key: value for key, value in settings.items() if key.endswith("_id")}
    family = theirs.config.model_type
    export_folder(config, variables, tmp_path, family=family, others=others)
    again, report = from_pretrained(type(theirs), tmp_path)
    sines = {key for key in report["missing_keys"] if "embed_positions" in key}
    assert not any(set(found) - sines for found in report.values())
    np.testing.assert_array_equal(their_logits(again), their_logits(theirs))
    for path, array in flatten_dict(parameters(tmp_path)[2]).items():
        np.testing.assert_array_equal(array, flatten_dict(variables)[path])
    before, after = theirs.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_each_family_is_among_the_cases():
    assert {name.split()[0] for name in CASES} == FAMILIES.keys()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_key_of_their_config_is_handled(name):
    family = FAMILIES[name]
    known = COMMON_KEYS.union(*(field.keys for field in family.fields))
    kind = transformers.AutoConfig.for_model(name)
    assert not kind.to_dict().keys() - known


def test_a_folder_of_16_bits_keeps_its_type(tmp_path):
    model = draw_model(CASES["llama"]).to(torch.bfloat16)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    _, _, variables = parameters(tmp_path)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("bfloat16")}
    wide = parameters(tmp_path, dtype="float32")[2]
    assert {x.dtype for x in jax.tree.leaves(wide)} == {jnp.dtype("float32")}
    table = model.state_dict()["model.embed_tokens.weight"].float().numpy()
    np.testing.assert_array_equal(wide["params"]["embedding"]["table"], table)
