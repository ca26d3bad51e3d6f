"""Activations, patches, gradients and attributions of a GPT-2: TransformerLens has the same."""

import functools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import flax_transformer as ft
from flax_transformer.inspection import At

REASON = "needs TransformerLens 3: pip install 'transformer-lens<4' torch transformers"
lens: Any = pytest.importorskip("transformer_lens", reason=REASON)
conversion: Any = pytest.importorskip(
    "transformer_lens.pretrained.weight_conversions.gpt2", reason=REASON
)
torch: Any = pytest.importorskip("torch", reason=REASON)
transformers: Any = pytest.importorskip("transformers", reason=REASON)
pytestmark = [
    pytest.mark.skipif("HookedTransformer" not in dir(lens), reason=REASON),
    pytest.mark.filterwarnings("ignore:HookedTransformer is deprecated"),
]

LAYERS, HEADS, LENGTH, VOCAB, TOLERANCE = 3, 4, 11, 61, 1e-4
TOKENS = np.random.default_rng(0).integers(0, VOCAB, (2, LENGTH))
TARGETS = np.roll(TOKENS, -1, axis=1)
CAUSAL = np.tri(LENGTH, dtype=bool)


class Both:
    """One model, opened by TransformerLens and by us."""

    def __init__(self, folder: Any):
        sizes = {"n_embd": 24, "n_layer": LAYERS, "n_head": HEADS, "n_positions": 16}
        ids = {"bos_token_id": 0, "eos_token_id": 0}
        config = transformers.GPT2Config(vocab_size=VOCAB, **sizes, **ids)
        torch.manual_seed(0)
        published = transformers.GPT2LMHeadModel(config).eval()
        with torch.no_grad():
            for parameter in published.parameters():
                parameter.copy_(0.2 * torch.randn_like(parameter))
        published.save_pretrained(folder)
        cfg = lens.HookedTransformerConfig(
            n_layers=LAYERS,
            d_model=24,
            n_ctx=16,
            d_head=6,
            n_heads=HEADS,
            d_mlp=96,
            d_vocab=VOCAB,
            act_fn="gelu_new",
            normalization_type="LN",
            use_attn_result=True,
        )
        self.theirs = lens.HookedTransformer(cfg).eval()
        self.theirs.load_state_dict(conversion.convert_gpt2_weights(published, cfg), strict=False)
        self.tokens, self.targets = torch.tensor(TOKENS), torch.tensor(TARGETS)
        with torch.no_grad():
            self.logits, self.cache = self.theirs.run_with_cache(self.tokens)
        _, self.model, self.variables = ft.interchange.parameters(folder)
        self.given: Any = (self.model, self.variables, jnp.asarray(TOKENS))

    def changed(self, name: str, change: Any) -> np.ndarray:
        """Their logits with a changed activation."""
        with torch.no_grad():
            return self.theirs.run_with_hooks(self.tokens, fwd_hooks=[(name, change)]).numpy()


@pytest.fixture(scope="module")
def both(tmp_path_factory) -> Both:
    return Both(tmp_path_factory.mktemp("gpt2"))


def our_names() -> Iterator[tuple[str, str]]:
    """Yields each of their names with ours."""
    before = "embedded"
    for i in range(LAYERS):
        layer, block = f"decoder.{i}.", f"blocks.{i}."
        first, second = f"{layer}self_attention_residual.", f"{layer}feed_forward_residual."
        yield f"{block}hook_resid_pre", before
        for their, our in {
            "q": "queries",
            "k": "keys",
            "v": "values",
            "attn_scores": "scores",
            "pattern": "weights",
            "z": "heads",
        }.items():
            yield f"{block}attn.hook_{their}", f"{layer}self_attention.{our}"
        for number, residual in enumerate((first, second), 1):
            yield f"{block}ln{number}.hook_scale", f"{residual}normalize.deviation"
            yield f"{block}ln{number}.hook_normalized", f"{residual}normalize.normalized"
        yield f"{block}hook_attn_out", f"{first}sublayer_output"
        yield f"{block}hook_resid_mid", f"{first}residual"
        yield f"{block}mlp.hook_pre", f"{layer}feed_forward.pre_activation"
        yield f"{block}mlp.hook_post", f"{layer}feed_forward.post_activation"
        yield f"{block}hook_mlp_out", f"{second}sublayer_output"
        yield f"{block}hook_resid_post", f"{second}residual"
        before = f"{second}residual"
    yield "hook_embed", "token_embedding"
    yield "hook_pos_embed", "positions.encoding"
    yield "ln_final.hook_scale", "decoder_norm.deviation"
    yield "ln_final.hook_normalized", "decoder_norm.normalized"
    yield "unembed.hook_in", "decoder_norm.output"
    yield "unembed.hook_out", "logits"


NAMES = dict(our_names())


def agree(found: Any, expected: np.ndarray, name: str = "") -> None:
    found = np.asarray(found)
    if name.endswith("scores"):  # they add the mask to the scores
        found, expected = np.where(CAUSAL, found, 0), np.where(CAUSAL, expected, 0)
    assert found.shape == expected.shape, name
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max(), name


def test_every_activation_is_theirs(both):
    found = ft.inspection.activations(*both.given)
    results = {f"blocks.{i}.attn.hook_result" for i in range(LAYERS)}
    assert {*both.cache} - results == {*NAMES}
    for their, our in NAMES.items():
        agree(found[our], both.cache[their].numpy(), their)
    for i in range(LAYERS):
        kernel = both.variables["params"][f"decoder_{i}"]["self_attention"]["output"]["kernel"]
        result = jnp.einsum("blhd,hdm->blhm", found[f"decoder.{i}.self_attention.heads"], kernel)
        agree(result, both.cache[f"blocks.{i}.attn.hook_result"].numpy())


def without_head(value: Any, hook: Any) -> Any:
    value = value.clone()
    value[:, :, 1] = 0
    return value


def at_position(value: Any, hook: Any) -> Any:
    value = value.clone()
    value[:, 5] = 2 * value[:, 5] + 1
    return value


CHANGES = {
    "attn.hook_z": (without_head, At(0.0, heads=1)),
    "hook_resid_post": (at_position, At(lambda x: 2 * x + 1, positions=5)),
    "attn.hook_pattern": (lambda value, hook: value / 2, lambda value: value / 2),
    "mlp.hook_post": (lambda value, hook: value.clamp(max=0.1), lambda x: jnp.minimum(x, 0.1)),
    "ln1.hook_scale": (lambda value, hook: value * 2, lambda value: value * 2),
}


@pytest.mark.parametrize("name", CHANGES)
def test_changed_logits_are_theirs(both, name):
    theirs, ours = CHANGES[name]
    names = [f"blocks.{i}.{name}" for i in range(LAYERS)]
    found: Any = jax.jit(
        lambda *given: [
            ft.inspection.run_with(*given, patch={NAMES[their]: ours}) for their in names
        ],
        static_argnums=0,
    )(*both.given)
    for their, changed in zip(names, found, strict=True):
        agree(changed, both.changed(their, theirs))


def test_gradients_are_theirs(both):
    found: dict[str, Any] = {}

    def keep(gradient: Any, hook: Any) -> None:
        # A norm before attention is called three times, for queries, keys and values.
        found[hook.name] = found.get(hook.name, 0) + gradient.numpy()

    both.theirs.set_use_attn_result(False)
    with both.theirs.hooks(bwd_hooks=[(lambda name: True, keep)]):
        both.theirs(both.tokens).gather(2, both.targets[..., None]).sum().backward()

    def total(logits: Any) -> Any:
        return jnp.take_along_axis(logits, jnp.asarray(TARGETS)[..., None], axis=-1).sum()

    ours = jax.jit(functools.partial(ft.inspection.gradients, metric=total), static_argnums=0)(
        *both.given
    )
    # Their embeddings are not differentiable; the others are all there.
    assert len(found) >= len(NAMES) - 2
    for their, expected in found.items():
        agree(ours[NAMES[their]], expected, their)


def test_attributions_are_theirs(both):
    parts = ft.inspection.logit_attribution(*both.given, targets=jnp.asarray(TARGETS))
    heads, names = both.cache.stack_head_results(layer=-1, return_labels=True)
    others, labels = both.cache.decompose_resid(layer=-1, return_labels=True, mode="mlp")
    all_parts = dict(zip([*names, *labels], torch.cat([heads, others]), strict=True))
    norm, head = both.theirs.ln_final, both.theirs.W_U

    def expected(name: str) -> np.ndarray:
        part = all_parts[name]
        part = (part - part.mean(-1, keepdim=True)) / both.cache["ln_final.hook_scale"] * norm.w
        return torch.einsum("bpd,dbp->bp", part, head[:, both.targets]).detach().numpy()

    agree(parts["token_embedding"], expected("embed"))
    agree(parts["positions.encoding"], expected("pos_embed"))
    for i in range(LAYERS):
        agree(parts[f"decoder.{i}.feed_forward_residual.sublayer_output"], expected(f"{i}_mlp_out"))
        for head_number in range(HEADS):
            found = parts[f"decoder.{i}.self_attention.heads"][..., head_number]
            agree(found, expected(f"L{i}H{head_number}"))


def test_the_lens_is_theirs(both):
    residuals = both.cache.accumulated_resid(layer=-1, apply_ln=True)
    with torch.no_grad():
        expected = both.theirs.unembed(residuals).numpy()
    agree(ft.inspection.logit_lens(*both.given), expected[1:])
