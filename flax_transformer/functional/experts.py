"""A mixture of experts: several feed-forward networks; each token uses a few of them."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from flax_transformer.functional.array_types import at_least_float32, check_flags
from flax_transformer.functional.feed_forward import feed_forward


@functools.partial(jax.jit, static_argnames="experts_per_token")
def expert_weights(
    router_logits: Float[Array, "*batch num_experts"], experts_per_token: int = 2
) -> Float[Array, "*batch num_experts"]:
    """Chooses the most probable experts of every token and computes the weights of their outputs.

    p = softmax(router_logits);  weight_i = p_i / sum over the chosen j of p_j, 0 if not chosen

    Args:
        router_logits: one number for each expert.
        experts_per_token: number of experts chosen for each token, those with the largest p.

    Returns:
        The weights, float32 at least. They add up to 1 over the experts.

    Raises:
        ValueError: if experts_per_token is not in [1, num_experts].

    Example:
        >>> logits = jnp.log(jnp.array([0.2, 0.5, 0.3]))
        >>> [round(x, 3) for x in expert_weights(logits).tolist()]
        [0.0, 0.625, 0.375]

    Reference:
        Shazeer et al. 2017, "Outrageously Large Neural Networks", section 2.1; Jiang et al. 2024,
        "Mixtral of Experts", section 2.1.
    """
    router_logits, is_chosen = _choose(router_logits, experts_per_token)
    # The softmax over the chosen: the others' part of the denominator cancels out.
    return jax.nn.softmax(router_logits, axis=-1, where=is_chosen)


@functools.partial(jax.jit, static_argnames="activation")
def expert_feed_forward(
    inputs: Float[Array, "*batch d_model"],
    weights: Float[Array, "*batch num_experts"],
    hidden_kernels: Float[Array, "num_experts d_model *halves d_ff"],
    hidden_biases: Float[Array, "num_experts *halves d_ff"] | None,
    output_kernels: Float[Array, "num_experts d_ff d_model"],
    output_biases: Float[Array, "num_experts d_model"] | None,
    *,
    activation: str = "swiglu",
    dropout: Float[Array, "*batch num_experts d_ff"] | None = None,
) -> Float[Array, "*batch d_model"]:
    """Adds up the outputs of several feed-forward networks with the weights of every token.

    sum over experts e of weight_e feed_forward_e(x)

    Every expert computes every token, even with weight 0. So shapes do not depend on the tokens,
    and no token is dropped.

    Args:
        inputs: one vector a position.
        weights: of the experts for each position, see `expert_weights`.
        hidden_kernels: W_1 of each expert, see `feed_forward`.
        hidden_biases: b_1 of each expert; None: no biases.
        output_kernels: W_2 of each expert.
        output_biases: b_2 of each expert; None: no biases.
        activation: a name in `ACTIVATIONS`.
        dropout: multiplier of the activations, 0 or 1 / keep_rate, see `dropout_multiplier`.

    Returns:
        One vector a position, in the type of the inputs.

    Raises:
        ValueError: if shapes do not fit, or the activation is unknown.

    Example:
        >>> x, eye = jnp.array([2.0, 3.0]), jnp.eye(2)
        >>> kernels = jnp.stack([eye, 10 * eye])  # the second expert's hidden layer is 10 x
        >>> weights, eyes = jnp.array([0.5, 0.5]), jnp.stack([eye, eye])
        >>> outputs = expert_feed_forward(
        ...     x, weights, kernels, None, eyes, None, activation="relu"
        ... )
        >>> outputs.tolist()
        [11.0, 16.5]

    Reference:
        Shazeer et al. 2017, section 2, equation 1; Jiang et al. 2024, section 2.1.
    """
    if weights.shape != (*inputs.shape[:-1], output_kernels.shape[0]):
        raise ValueError(
            f"weights {weights.shape} must be [*batch, num_experts] for inputs {inputs.shape} and "
            f"output_kernels {output_kernels.shape}"
        )

    def one_expert(hidden_kernel, hidden_bias, output_kernel, output_bias, dropout):
        return feed_forward(
            inputs, hidden_kernel, hidden_bias, output_kernel, output_bias, activation, dropout
        )

    outputs = jax.vmap(one_expert, in_axes=(0, 0, 0, 0, -2))(
        hidden_kernels, hidden_biases, output_kernels, output_biases, dropout
    )
    return jnp.einsum("e...d,...e->...d", outputs, weights.astype(outputs.dtype))


@functools.partial(jax.jit, static_argnames="experts_per_token")
def load_balancing_loss(
    router_logits: Float[Array, "*batch num_experts"],
    is_token: Bool[Array, "*batch"] | None = None,
    experts_per_token: int = 2,
) -> Float[Array, ""]:
    """Measures how unevenly a router spreads tokens over experts.

    num_experts sum over experts i of f_i P_i,  f_i = mean over tokens of (1 if i is chosen else 0),
    P_i = mean over tokens of softmax(router_logits)_i

    It is experts_per_token if all experts are chosen equally often, and num_experts at most. The
    gradient flows through P_i only.

    Args:
        router_logits: one number for each expert.
        is_token: False at padding, which does not count; None where nothing is padding.
        experts_per_token: number of experts chosen for each token, see `expert_weights`.

    Returns:
        The loss, float32 at least; 0 if there is only padding.

    Raises:
        ValueError: if experts_per_token is not in [1, num_experts], or `is_token` has another shape
            or type.

    Example:
        >>> even, uneven = jnp.array([[9.0, -9.0], [-9.0, 9.0]]), jnp.array([[9.0, -9.0]])
        >>> [round(load_balancing_loss(x, experts_per_token=1).item(), 3) for x in (even, uneven)]
        [1.0, 2.0]

    Reference:
        Fedus et al. 2022, "Switch Transformers", section 2.2, equations 4 to 6 (one expert a
        token); Jiang et al. 2024 (several, in their code).
    """
    check_flags(is_token=is_token)
    counts = jnp.ones(router_logits.shape[:-1], bool) if is_token is None else is_token
    if counts.shape != router_logits.shape[:-1]:
        raise ValueError(f"is_token {counts.shape} must be {router_logits.shape[:-1]}")
    router_logits, is_chosen = _choose(router_logits, experts_per_token)
    probabilities = jax.nn.softmax(router_logits, axis=-1)
    num_tokens = jnp.maximum(counts.sum(), 1).astype(probabilities.dtype)
    batch = tuple(range(counts.ndim))
    # Padding may hold NaN.
    num_chosen = (is_chosen & counts[..., None]).sum(axis=batch).astype(probabilities.dtype)
    probability = jnp.where(counts[..., None], probabilities, 0).sum(axis=batch)
    return router_logits.shape[-1] * (num_chosen / num_tokens * (probability / num_tokens)).sum()


def _choose(router_logits: Array, experts_per_token: int) -> tuple[Array, Array]:
    """Returns the logits in float32 at least, and True for the largest."""
    num_experts = router_logits.shape[-1]
    if not 1 <= experts_per_token <= num_experts:
        raise ValueError(
            f"experts_per_token must be in [1, {num_experts}], not {experts_per_token}"
        )
    router_logits = router_logits.astype(at_least_float32(router_logits.dtype))
    _, indices = jax.lax.top_k(router_logits, experts_per_token)
    return router_logits, jax.nn.one_hot(indices, num_experts, dtype=bool).any(axis=-2)
