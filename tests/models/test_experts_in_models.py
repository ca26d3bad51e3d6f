"""Models whose layers are mixtures of experts: their losses, however the layers are called."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import assert_close

from flax_transformer.models import DecoderOnlyConfig, EncoderDecoderConfig, EncoderOnlyConfig
from flax_transformer.models.stacking import stack_layers, unstack_layers

OPTIONS: dict[str, Any] = {
    "d_model": 12,
    "d_ff": 7,
    "num_heads": 2,
    "feed_forward": "experts",
    "num_experts": 3,
    "balancing_weight": 1.0,
}
VOCAB, LAYERS = 11, 2
TOKENS = jax.random.randint(jax.random.key(0), (2, 5), 0, VOCAB)
SEGMENTS = jnp.ones((2, 5), jnp.int32).at[0, 3:].set(0)


def decoder(**changes: Any) -> Any:
    return DecoderOnlyConfig(num_layers=LAYERS, **OPTIONS | changes).build(vocab_size=VOCAB)


@pytest.fixture(scope="module")
def variables() -> Any:
    return decoder().init(jax.random.key(1), TOKENS)


def losses_of(model: Any, variables: Any, segments: Any = SEGMENTS, **options: Any) -> Any:
    """The logits, and the balancing losses of all layers."""

    @jax.jit
    def call(variables):
        return model.apply(variables, TOKENS, segments=segments, mutable=["losses"], **options)

    logits, collections = call(variables)
    leaves = jax.tree.leaves(collections["losses"])
    return logits, jnp.concatenate([jnp.ravel(leaf) for leaf in leaves])


def test_variables_hold_parameters_only(variables):
    assert variables.keys() == {"params"}
    assert variables["params"]["decoder_0"]["feed_forward"].keys() == {
        "router",
        "hidden",
        "output",
    }


def test_every_layer_stores_its_loss_and_padding_changes_none(variables):
    _, losses = losses_of(decoder(), variables)
    assert losses.shape == (LAYERS,)
    # Two experts a token, spread over three: 2 if they are even, 3 at most.
    assert (losses > 1.5).all()
    assert (losses <= 3).all()
    other = TOKENS.at[0, 3:].set((TOKENS[0, 3:] + 1) % VOCAB)
    _, collections = decoder().apply(variables, other, segments=SEGMENTS, mutable=["losses"])
    np.testing.assert_array_equal(jnp.stack(jax.tree.leaves(collections["losses"])), losses)
    _, unpadded = losses_of(decoder(), variables, segments=jnp.ones_like(SEGMENTS))
    assert not jnp.allclose(losses, unpadded)


@pytest.mark.parametrize("remat", ["none", "all"])
def test_scanned_layers_store_the_same_losses(variables, remat):
    expected = losses_of(decoder(), variables)
    stacked = stack_layers(variables)
    actual = losses_of(decoder(scan_layers=True, remat=remat), stacked)
    assert_close(actual[0], expected[0], 1e-6)
    assert_close(actual[1], expected[1], 1e-6)
    assert jax.tree.all(jax.tree.map(jnp.array_equal, unstack_layers(stacked), variables))


def test_cached_decoding_gives_the_logits_of_the_call(variables):
    model = decoder()
    expected = model.apply(variables, TOKENS)
    cache: Any = model.apply(variables, 2, 5, method="start")
    for i in range(5):
        step: Any = model.apply(variables, TOKENS[:, i : i + 1], cache, method="decode")
        logits, cache = step
        assert_close(logits[:, 0], expected[:, i], 1e-5)


def test_encoders_have_experts_too():
    encoder = EncoderOnlyConfig(num_layers=LAYERS, **OPTIONS).build(vocab_size=VOCAB)
    variables = encoder.init(jax.random.key(1), TOKENS)
    _, losses = losses_of(encoder, variables)
    assert losses.shape == (LAYERS,)
    both = EncoderDecoderConfig(num_encoder_layers=1, num_decoder_layers=2, **OPTIONS)
    model = both.build(vocab_size=VOCAB)
    variables = model.init(jax.random.key(1), TOKENS, TOKENS)
    _, collections = model.apply(variables, TOKENS, TOKENS, mutable=["losses"])
    assert len(jax.tree.leaves(collections["losses"])) == 3
