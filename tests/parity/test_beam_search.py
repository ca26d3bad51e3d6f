"""A refilled beam against Hugging Face's beam search, with a whole Marian of random weights."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import torch
from torch_weights import Params, array, attention, decoder_layer, draw_weights, encoder_layer

from flax_transformer.decoding import SearchLimits, beam_search
from flax_transformer.models import EncoderDecoder, EncoderDecoderConfig

REASON = "Hugging Face's transformers is not installed: pip install '.[parity]'"
marian: Any = pytest.importorskip("transformers.models.marian", reason=REASON)

VOCAB, D_MODEL, D_FF, HEADS, BEAM = 97, 24, 19, 3, 4
NUM_SOURCES, LENGTH, LIMIT, PAD, BOS, EOS = 151, 7, 31, 0, 1, 2
RNG = np.random.default_rng(0)
SOURCES = RNG.integers(3, VOCAB, (NUM_SOURCES, LENGTH))
SOURCES[np.arange(LENGTH) >= RNG.integers(1, LENGTH + 1, NUM_SOURCES)[:, None]] = PAD

Lists = list[list[tuple[int, ...]]]


@functools.cache
def theirs() -> Any:
    """A model whose outputs vary, because nothing in it is large for all tokens and positions."""
    config = marian.MarianConfig(
        vocab_size=VOCAB,
        d_model=D_MODEL,
        encoder_layers=1,
        encoder_attention_heads=HEADS,
        encoder_ffn_dim=D_FF,
        decoder_layers=1,
        decoder_attention_heads=HEADS,
        decoder_ffn_dim=D_FF,
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=LIMIT + 1,
        pad_token_id=PAD,
        decoder_start_token_id=BOS,
        eos_token_id=EOS,
        forced_eos_token_id=None,
    )
    model = draw_weights(marian.MarianMTModel(config))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "shared" in name:
                weight.copy_(1.5 * torch.nn.functional.normalize(weight))
            else:
                weight.mul_(0.1 if "bias" in name else 2 if "norm" in name else 1)
    model.final_logits_bias[0, PAD] = -1e4
    model.final_logits_bias[0, EOS] = 4.0
    return model


def layer_params(layer: Any, is_decoder: bool) -> Params:
    def projections(module: Any) -> Params:
        parts = (module.q_proj, module.k_proj, module.v_proj, module.out_proj)
        return attention(*parts, num_heads=HEADS)

    rest = {"hidden": layer.fc1, "output": layer.fc2, "feed_forward_norm": layer.final_layer_norm}
    own = (projections(layer.self_attn), layer.self_attn_layer_norm)
    if not is_decoder:
        return encoder_layer(*own, **rest)
    memory = (projections(layer.encoder_attn), layer.encoder_attn_layer_norm)
    return decoder_layer(*own, *memory, **rest)


def our_params() -> Params:
    """Their weights; their table of positions counts as a learned one."""
    body = theirs().model
    bias = array(theirs().final_logits_bias)[0]
    return {
        "embedding": {"table": array(body.shared.weight), "bias": bias},
        "source_positions": {"table": array(body.encoder.embed_positions.weight)},
        "target_positions": {"table": array(body.decoder.embed_positions.weight)},
        "encoder_0": layer_params(body.encoder.layers[0], is_decoder=False),
        "decoder_0": layer_params(body.decoder.layers[0], is_decoder=True),
    }


@functools.partial(jax.jit, static_argnums=0)
def search(refill: bool, alpha: jax.Array, params: Params, sources: jax.Array) -> Any:
    """Our search; the penalty is that of power_length_penalty, compiled once for any alpha."""
    config = EncoderDecoderConfig(
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_model=D_MODEL,
        d_ff=D_FF,
        num_heads=HEADS,
        norm_epsilon=1e-5,
        attention_bias=True,
        positions="learned",
        max_positions=LIMIT + 1,
        logits_bias=True,
    )
    apply: Any = functools.partial(EncoderDecoder(config, VOCAB).apply, {"params": params})
    return beam_search(
        functools.partial(apply, method="decode"),
        apply(sources, LIMIT, segments=(sources != PAD).astype(jnp.int32), method="start"),
        jnp.full((len(sources), 1), BOS),
        SearchLimits(max_length=LIMIT, eos_id=EOS, pad_id=PAD),
        beam_size=BEAM,
        refill=refill,
        num_best=BEAM,
        length_penalty=lambda length: length.astype(jnp.float32) ** alpha,
    )


def found_by_us(refill: bool, alpha: float) -> tuple[Lists, np.ndarray]:
    found = search(refill, jnp.float32(alpha), our_params(), jnp.asarray(SOURCES))
    return until_the_end(found.tokens), np.asarray(found.scores)


def found_by_them(alpha: float) -> tuple[Lists, np.ndarray]:
    sources = torch.tensor(SOURCES)
    found = theirs().generate(
        sources,
        attention_mask=(sources != PAD).long(),
        num_beams=BEAM,
        num_return_sequences=BEAM,
        early_stopping="never",
        length_penalty=alpha,
        max_length=LIMIT + 1,  # with the begin mark
        output_scores=True,
        return_dict_in_generate=True,
    )
    tokens = found.sequences[:, 1:].reshape(NUM_SOURCES, BEAM, -1)
    return until_the_end(tokens), found.sequences_scores.reshape(NUM_SOURCES, BEAM).numpy()


def until_the_end(tokens: Any) -> Lists:
    return [
        [tuple(row[: row.index(EOS) + 1] if EOS in row else row) for row in rows]
        for rows in tokens.tolist()
    ]


@pytest.fixture
def one_thread():
    """The model is so small that several threads of PyTorch mostly wait for each other."""
    number = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(number)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
def test_a_refilled_beam_finds_what_hugging_face_finds(alpha):
    """All four outputs and their scores, where none was cut: theirs counts a cut one as finished.

    Two outputs of nearly equal scores may change places, so such lists are left out.
    """
    expected, expected_scores = found_by_them(alpha)
    found, scores = found_by_us(True, alpha)
    is_whole = np.array([all(output[-1] == EOS for output in outputs) for outputs in expected])
    gaps = -np.diff(expected_scores, axis=1)
    is_decided = (gaps > -1e-5 * expected_scores[:, 1:]).all(axis=1)
    compared = np.flatnonzero(is_whole & is_decided)
    assert len(compared) >= 50
    assert [found[i] for i in compared] == [expected[i] for i in compared]
    np.testing.assert_allclose(scores[is_whole], expected_scores[is_whole], rtol=1e-5)
    for i in np.flatnonzero(~is_whole & is_decided):
        finished = [output for output in expected[i] if output[-1] == EOS]
        assert found[i][: len(finished)] == finished
    # The comparison tells the two kinds of beams apart.
    others, _ = found_by_us(False, alpha)
    assert sum(others[i] != expected[i] for i in compared) > 10
