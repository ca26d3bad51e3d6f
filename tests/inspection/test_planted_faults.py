"""Faults that are planted in the library are found, and named where they are."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from small_models import SmallModel, decoder, encoder, translator

from flax_transformer.functional import kernels, layout
from flax_transformer.functional.layout import Positions
from flax_transformer.inspection.first_difference import Verdict, compare
from flax_transformer.inspection.proof_inputs import Inputs, make_subject
from flax_transformer.inspection.proofs import find_proof
from flax_transformer.models import decoder_only, encoder_decoder, layer_stack
from flax_transformer.modules import layers, norms

LENGTH = 6
pytestmark = pytest.mark.usefixtures("quickly_compiled")
Patch = Callable[[pytest.MonkeyPatch], None]


class Fault(NamedTuple):
    """A fault: the model that has it, the proof that finds it, and the activation it is in."""

    model: SmallModel
    proof: str
    activation: str
    plant: Patch


def replace(owner: Any, name: str, make: Callable[[Any], Any]) -> Patch:
    """Replaces a function of the library by what is made of it."""
    return lambda monkeypatch: monkeypatch.setattr(owner, name, make(getattr(owner, name)))


def late(function: Any) -> Any:
    """Counts the queries of a cache from 1."""

    def laid(*args: Any, **options: Any) -> Any:
        found = function(*args, **options)
        return found._replace(positions=found.positions._replace(query=found.positions.query + 1))

    return laid


def far(function: Any) -> Any:
    """Counts the keys of a cache from 1."""

    def attend(attention: Any, inputs: Any, found: Any, *args: Any, **options: Any) -> Any:
        query, key = found.positions
        found = found._replace(positions=Positions(query, key + 1))
        return function(attention, inputs, found, *args, **options)

    return attend


def own_lineage(function: Any) -> Any:
    """Reads the keys that a row wrote itself, wherever its hypothesis comes from."""

    def mask(mask: Any, lineage: Any, members: int) -> Any:
        own = jnp.tile(jnp.arange(members), len(lineage) // members)[:, None]
        return function(mask, jnp.broadcast_to(own, lineage.shape), members)

    return mask


def without_last_window(function: Any) -> Any:
    """Forgets the window of the layers that have one, in a cache."""

    def laid(*args: Any, window: int | None = None) -> Any:
        return function(*args)

    return laid


def all_true(query: Any, key: Any) -> Any:
    return jnp.ones((*query.shape, key.shape[-1]), bool)


def same_text(query: Any, key: Any) -> Any:
    """Lets all tokens of a row attend to each other, whichever sequence they are of."""
    return (query[..., :, None] != 0) & (key[..., None, :] != 0)


def over_all(inputs: Any, scale: Any, bias: Any, *, epsilon: float) -> Any:
    """Normalizes by statistics over all places of a row."""
    centered = inputs - inputs.mean(axis=(1, 2), keepdims=True)
    variance = jnp.square(centered).mean(axis=(1, 2), keepdims=True)
    return centered / jnp.sqrt(variance + epsilon) * scale + bias


def wrong_scale(function: Any) -> Any:
    return lambda query, *args, **options: function(1.1 * query, *args, **options)


def plant_in_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = kernels.KERNELS["blockwise"]
    wrong = kernel._replace(kernel=wrong_scale(kernels.kernel("blockwise")))
    monkeypatch.setitem(kernels.KERNELS, "blockwise", wrong)


ONE: dict[str, Any] = {"num_layers": 1}
PRE: dict[str, Any] = {"norm_placement": "pre", "embedding_norm": False}
PAIR: dict[str, Any] = {"num_encoder_layers": 1, "num_decoder_layers": 1}
FAULTS = {
    "cache position off by one": Fault(
        decoder(**ONE),
        "cached decoding",
        "positions.encoding",
        replace(layer_stack, "lay_out_cached", late),
    ),
    "decoder without its mask": Fault(
        decoder(**ONE),
        "later tokens",
        "decoder.0.self_attention.weights",
        replace(decoder_only, "lay_out", lambda f: lambda *x, causal=True, **o: f(*x, **o)),
    ),
    "another scale in one implementation": Fault(
        encoder("predict_tokens", **ONE), "kernels", "encoder.0.attention.heads", plant_in_kernel
    ),
    "padding not masked": Fault(
        encoder("classify", **ONE),
        "content of padding",
        "encoder.0.attention.weights",
        replace(layout, "segment_mask", lambda _: all_true),
    ),
    "segments not masked": Fault(
        translator(**PAIR),
        "packed rows",
        "encoder.0.attention.weights",
        replace(layout, "segment_mask", lambda _: same_text),
    ),
    "positions not shifted with padding on the left": Fault(
        encoder(**ONE),
        "padding",
        "positions.encoding",
        replace(layout, "segment_positions", lambda _: lambda x: jnp.arange(x.shape[0])),
    ),
    "moved hypotheses read their own keys": Fault(
        translator(**PAIR),
        "moved hypotheses",
        "decoder.0.self_attention.weights",
        replace(layer_stack, "lineage_mask", own_lineage),
    ),
    "scanned layers in the wrong order": Fault(
        encoder("predict_tokens"),
        "scanned layers",
        "encoder.0.attention_residual.sublayer_input",
        replace(nn, "scan", lambda f: functools.partial(f, reverse=True)),
    ),
    "statistics of a norm over padding": Fault(
        encoder(**ONE, **PRE),
        "padding",
        "encoder.0.attention_residual.sublayer_input",
        replace(norms, "layer_norm", lambda _: over_all),
    ),
    "cross-attention without its mask": Fault(
        translator(**PAIR),
        "content of padding",
        "decoder.0.cross_attention.weights",
        replace(encoder_decoder, "segment_mask", lambda _: all_true),
    ),
    "relative bias of the wrong distance in a cache": Fault(
        decoder(positions="t5", **ONE),
        "cached decoding",
        "decoder.0.self_attention.scores",
        replace(layers, "attend_to_past", far),
    ),
    "the window of the second layer forgotten in a cache": Fault(
        decoder(attention_window=(None, 2)),
        "cached decoding",
        "decoder.1.self_attention.weights",
        replace(layer_stack, "lay_out_cached", without_last_window),
    ),
}


def first_that_differs(small: SmallModel, proof: str) -> Verdict | None:
    subject = make_subject(small.model, small.draw(), small.method)
    for comparison in find_proof(proof).comparisons(subject, Inputs(subject, LENGTH)):
        verdict = compare(comparison, subject.variables)
        if not verdict.is_equal:
            return verdict
    return None


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found_and_named(name, monkeypatch):
    fault = FAULTS[name]
    jax.clear_caches()
    fault.plant(monkeypatch)
    verdict = first_that_differs(fault.model, fault.proof)
    jax.clear_caches()
    assert verdict is not None
    assert verdict.first is not None
    assert verdict.first.activation == fault.activation
