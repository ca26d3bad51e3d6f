"""Softmax and normalization with derivatives that keep few arrays."""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array

from flax_transformer.functional.kernels import computed_once, formula
from flax_transformer.functional.normalization import inverse_root_mean_square


@jax.custom_jvp
def masked_softmax(scores: Array, mask: Array | None) -> Array:
    """Computes the softmax over allowed keys; its derivative needs only the weights."""
    return formula("softmax")(scores, mask)


@masked_softmax.defjvp
def _masked_softmax_derivative(primals, tangents):
    """With w = softmax(s): dw = w (ds - sum(w ds)), 0 where a key is masked."""
    weights, tangent = computed_once(masked_softmax(*primals)), tangents[0]
    return weights, weights * (tangent - jnp.sum(weights * tangent, axis=-1, keepdims=True))


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def to_unit_mean_square(vectors: Array, epsilon: float) -> Array:
    """Divides by sqrt(mean(x^2) + epsilon); the derivative needs only result and divisors."""
    return formula("unit_mean_square")(vectors, epsilon)


@to_unit_mean_square.defjvp
def _to_unit_mean_square_derivative(epsilon, primals, tangents):
    """With r = 1 / sqrt(mean(x^2) + epsilon) and y = r x: dy = r (dx - y mean(y dx))."""
    (vectors,), (tangent,) = primals, tangents
    inverse = inverse_root_mean_square(vectors, epsilon)
    result = vectors * inverse
    along = jnp.mean(result * tangent, axis=-1, keepdims=True)
    return result, inverse * (tangent - result * along)
