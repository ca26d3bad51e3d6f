"""The position-wise feed-forward network and the activations of its hidden layer."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from flax_transformer.functional.array_types import along_last_axes, check_numbers
from flax_transformer.functional.projection import project
from flax_transformer.functional.quantization import EightBitArray


@jax.jit
def relu(hidden: Float[Array, "*batch d_ff"]) -> Float[Array, "*batch d_ff"]:
    """Replaces negative numbers by 0.

    max(0, x)

    Args:
        hidden: the hidden layer.

    Returns:
        The activations.

    Example:
        >>> relu(jax.numpy.array([-2.0, 3.0])).tolist()
        [0.0, 3.0]

    Reference:
        Vaswani et al. 2017, section 3.3, equation 2.
    """
    return jax.nn.relu(hidden)


@jax.jit
def gelu(hidden: Float[Array, "*batch d_ff"]) -> Float[Array, "*batch d_ff"]:
    """Multiplies every number by the share of the standard normal distribution below it.

    x Phi(x) = x (1 + erf(x / sqrt(2))) / 2

    This is the exact form, not its approximation by a hyperbolic tangent.

    Args:
        hidden: the hidden layer.

    Returns:
        The activations.

    Example:
        >>> [round(x, 3) for x in gelu(jax.numpy.array([-1.0, 1.0])).tolist()]
        [-0.159, 0.841]

    Reference:
        Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2.
    """
    return jax.nn.gelu(hidden, approximate=False)


@jax.jit
def gelu_tanh(hidden: Float[Array, "*batch d_ff"]) -> Float[Array, "*batch d_ff"]:
    """Approximates `gelu` by a hyperbolic tangent, as GPT-2 and the first ViT compute it.

    x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2

    Args:
        hidden: the hidden layer.

    Returns:
        The activations, within 0.0005 of the exact ones.

    Example:
        >>> [round(x, 3) for x in gelu_tanh(jax.numpy.array([-1.0, 1.0])).tolist()]
        [-0.159, 0.841]

    Reference:
        Hendrycks and Gimpel 2016, "Gaussian Error Linear Units", section 2.
    """
    return jax.nn.gelu(hidden, approximate=True)


@jax.jit
def silu(hidden: Float[Array, "*batch d_ff"]) -> Float[Array, "*batch d_ff"]:
    """Multiplies every number by its logistic function; also called Swish.

    x sigmoid(x) = x / (1 + exp(-x))

    Args:
        hidden: the hidden layer.

    Returns:
        The activations.

    Example:
        >>> [round(x, 3) for x in silu(jax.numpy.array([-1.0, 1.0])).tolist()]
        [-0.269, 0.731]

    Reference:
        Ramachandran et al. 2017, "Searching for Activation Functions" (Swish with beta 1).
    """
    return jax.nn.silu(hidden)


@jax.jit
def geglu(hidden: Float[Array, "*batch 2 d_ff"]) -> Float[Array, "*batch d_ff"]:
    """Multiplies one half of a hidden layer by the GELU of the other.

    gelu(hidden_1) hidden_2

    Args:
        hidden: the gate hidden_1, to which GELU applies, and hidden_2, which is gated.

    Returns:
        The activations.

    Raises:
        ValueError: if there are not two halves.

    Example:
        >>> [round(x, 3) for x in geglu(jax.numpy.array([[1.0, 0.0], [2.0, 5.0]])).tolist()]
        [1.683, 0.0]

    Reference:
        Shazeer 2020, "GLU Variants Improve Transformer", section 2.
    """
    return _gated(gelu, hidden)


@jax.jit
def geglu_tanh(hidden: Float[Array, "*batch 2 d_ff"]) -> Float[Array, "*batch d_ff"]:
    """Multiplies one half of a hidden layer by the approximate GELU of the other.

    gelu_tanh(hidden_1) hidden_2

    Args:
        hidden: the gate hidden_1, to which `gelu_tanh` applies, and hidden_2, which is gated.

    Returns:
        The activations.

    Raises:
        ValueError: if there are not two halves.

    Example:
        >>> [round(x, 3) for x in geglu_tanh(jax.numpy.array([[1.0, 0.0], [2.0, 5.0]])).tolist()]
        [1.682, 0.0]

    Reference:
        Shazeer 2020, section 2; with the approximation, T5 1.1 and Gemma in their code.
    """
    return _gated(gelu_tanh, hidden)


@jax.jit
def swiglu(hidden: Float[Array, "*batch 2 d_ff"]) -> Float[Array, "*batch d_ff"]:
    """Multiplies one half of a hidden layer by the SiLU of the other.

    silu(hidden_1) hidden_2

    Args:
        hidden: the gate hidden_1, to which SiLU applies, and hidden_2, which is gated.

    Returns:
        The activations.

    Raises:
        ValueError: if there are not two halves.

    Example:
        >>> [round(x, 3) for x in swiglu(jax.numpy.array([[1.0, 0.0], [2.0, 5.0]])).tolist()]
        [1.462, 0.0]

    Reference:
        Shazeer 2020, "GLU Variants Improve Transformer", section 2.
    """
    return _gated(silu, hidden)


def _gated(function: Callable[[Array], Array], hidden: Array) -> Array:
    if hidden.ndim < 2 or hidden.shape[-2] != 2:
        raise ValueError(f"hidden {hidden.shape} must hold two halves [..., 2, d_ff]")
    return function(hidden[..., 0, :]) * hidden[..., 1, :]


class Activation(NamedTuple):
    """The activation function of a hidden layer.

    Attributes:
        function: [*batch, d_ff] -> [*batch, d_ff]; gated: [*batch, 2, d_ff] -> [*batch, d_ff].
        is_gated: whether the hidden layer has two halves; the first gates the second.
        description: one line that helps users choose.
    """

    function: Callable[[Array], Array]
    is_gated: bool
    description: str


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(relu, False, "max(0, x), as in the paper"),
    "gelu": Activation(gelu, False, "x Phi(x), exact, as in BERT"),
    "gelu_tanh": Activation(gelu_tanh, False, "gelu approximated by tanh, as in GPT-2"),
    "silu": Activation(silu, False, "x sigmoid(x), also called Swish"),
    "geglu": Activation(geglu, True, "gelu(x W) x V: gated, with a second hidden matrix"),
    "geglu_tanh": Activation(geglu_tanh, True, "geglu with gelu_tanh, as in T5 1.1 and Gemma"),
    "swiglu": Activation(swiglu, True, "silu(x W) x V: gated, with a second hidden matrix"),
}


@functools.partial(jax.jit, static_argnames="activation")
def feed_forward(
    inputs: Float[Array, "*batch d_model"],
    hidden_kernel: Float[Array, "d_model *halves d_ff"] | EightBitArray,
    hidden_bias: Float[Array, "*halves d_ff"] | None,
    output_kernel: Float[Array, "d_ff d_model"] | EightBitArray,
    output_bias: Float[Array, " d_model"] | None,
    activation: str = "relu",
    dropout: Float[Array, "*batch d_ff"] | None = None,
) -> Float[Array, "*batch d_model"]:
    """Transforms every position independently.

    activation(x W_1 + b_1) W_2 + b_2

    Args:
        inputs: one vector a position.
        hidden_kernel: W_1; for a gated activation, both halves, the gate first. See `project`.
        hidden_bias: b_1, likewise; None adds nothing.
        output_kernel: W_2.
        output_bias: b_2; None adds nothing.
        activation: a name in `ACTIVATIONS`.
        dropout: multiplier of the activations, 0 or 1 / keep_rate, see `dropout_multiplier`.

    Returns:
        One vector a position.

    Raises:
        ValueError: if shapes do not fit, or the activation is unknown.

    Example:
        >>> x, eye = jax.numpy.array([-2.0, 3.0]), jax.numpy.eye(2)
        >>> feed_forward(x, eye, jax.numpy.zeros(2), 2 * eye, jax.numpy.ones(2)).tolist()
        [1.0, 7.0]

    Reference:
        Vaswani et al. 2017, section 3.3, equation 2; Shazeer 2020, section 2 (gated).
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"no activation {activation!r}: known are {', '.join(ACTIVATIONS)}")
    function, is_gated, _ = ACTIVATIONS[activation]
    _check_shapes(inputs, hidden_kernel, hidden_bias, output_kernel, output_bias, is_gated)
    activated = function(affine(inputs, hidden_kernel, hidden_bias))
    if dropout is not None:
        check_numbers(dropout=dropout)
        if dropout.shape != activated.shape:
            raise ValueError(f"dropout {dropout.shape} must be {activated.shape}")
        activated = activated * dropout.astype(activated.dtype)
    return affine(activated, output_kernel, output_bias)


def affine(
    inputs: Float[Array, "*batch inputs"],
    kernel: Float[Array, "inputs *outputs"] | EightBitArray,
    bias: Float[Array, "*outputs"] | None,
) -> Float[Array, "..."]:
    """Computes x W + b for every vector x; without a bias, x W."""
    product = project(inputs, kernel)
    return product if bias is None else product + along_last_axes(bias, product.ndim)


def _check_shapes(
    inputs: Array,
    hidden_kernel: Array | EightBitArray,
    hidden_bias: Array | None,
    output_kernel: Array | EightBitArray,
    output_bias: Array | None,
    is_gated: bool,
) -> None:
    (d_ff, d_model), halves = output_kernel.shape, (2,) if is_gated else ()
    for name, array, shape in (
        ("inputs", inputs, (*inputs.shape[:-1], d_model)),
        ("hidden_kernel", hidden_kernel, (d_model, *halves, d_ff)),
        ("hidden_bias", hidden_bias, (*halves, d_ff)),
        ("output_bias", output_bias, (d_model,)),
    ):
        if array is not None and array.shape != shape:
            raise ValueError(
                f"{name} {array.shape} must be {shape} for output_kernel {output_kernel.shape}"
            )
