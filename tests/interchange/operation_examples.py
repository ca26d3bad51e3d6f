"""Functions in which each operation of JAX that programs may have is used."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from flax_transformer.interchange.programs.model_programs import Kind, Program

ROWS, COLUMNS = 3, 7


def counts(x):
    """How often each row has each number from 0 to 2."""
    return jax.vmap(lambda row: jnp.bincount(row.astype(jnp.int32) % 3, length=COLUMNS))(x)


# Primitive -> functions of x [batch, COLUMNS] and i [batch], in which it is used.
EXAMPLES: dict[str, Callable[..., Any] | list[Callable[..., Any]]] = {
    "copy": lambda x, i: lax.copy_p.bind(x),
    "name": lambda x, i: checkpoint_name(x, "mine"),
    "stop_gradient": lambda x, i: lax.stop_gradient(x),
    "add": lambda x, i: x + 2,
    "sub": lambda x, i: 2 - x,
    "mul": lambda x, i: x * x[:1],
    "div": lambda x, i: x / 3,
    "rem": [lambda x, i: lax.rem(x, 0.7 + 0 * x), lambda x, i: lax.rem(i - 9, 0 * i + 4)],
    "max": [lambda x, i: jnp.maximum(x, 0.3), lambda x, i: jnp.maximum(i, 2)],
    "min": lambda x, i: jnp.minimum(x, 0.3),
    "pow": lambda x, i: jnp.exp(x) ** 1.3,
    "integer_pow": lambda x, i: lax.integer_pow(x, 3),
    "square": lambda x, i: lax.square(x),
    "neg": lambda x, i: -x,
    "abs": lambda x, i: jnp.abs(x),
    "sign": lambda x, i: jnp.sign(x),
    "floor": lambda x, i: jnp.floor(x),
    "ceil": lambda x, i: jnp.ceil(x),
    "round": lambda x, i: jnp.round(2 * x),
    "exp": lambda x, i: jnp.exp(x),
    "log": lambda x, i: jnp.log(jnp.abs(x)),
    "log1p": lambda x, i: jnp.log1p(jnp.abs(x)),
    "sqrt": lambda x, i: jnp.sqrt(jnp.abs(x)),
    "rsqrt": lambda x, i: lax.rsqrt(jnp.abs(x) + 1),
    "tanh": lambda x, i: jnp.tanh(x),
    "logistic": lambda x, i: lax.logistic(x),
    "erf": lambda x, i: lax.erf(x),
    "erfc": lambda x, i: lax.erfc(x),
    "sin": lambda x, i: jnp.sin(9 * x),
    "cos": lambda x, i: jnp.cos(9 * x),
    "and": lambda x, i: (x > 0) & (x < 1),
    "or": lambda x, i: (x < 0) | (x > 1),
    "not": lambda x, i: ~(x > 0),
    "eq": lambda x, i: i == 2,
    "ne": lambda x, i: i != 2,
    "lt": lambda x, i: x < 0.5,
    "le": lambda x, i: i <= 2,
    "gt": lambda x, i: x > 0.5,
    "ge": lambda x, i: i >= 2,
    "select_n": [lambda x, i: jnp.where(x > 0, x, 3), lambda x, i: jnp.where(x > 0, x < 1, x > -1)],
    "clamp": lambda x, i: lax.clamp(-0.5, x, 0.5),
    "convert_element_type": lambda x, i: (x * 3).astype(jnp.int32),
    "broadcast_in_dim": lambda x, i: jnp.broadcast_to(x[:, None], (x.shape[0], 2, COLUMNS)),
    "reshape": lambda x, i: jnp.concatenate([x, x]).reshape(-1, 2 * COLUMNS),
    "transpose": lambda x, i: x.T,
    "concatenate": lambda x, i: jnp.concatenate([x, 2 * x], axis=1),
    "stack": lambda x, i: jnp.stack([x, 2 * x], axis=1),
    "squeeze": lambda x, i: jnp.squeeze(x[:, None] * 2, 1),
    "slice": lambda x, i: lax.slice_in_dim(x, 1, 6, 2, axis=1),
    "pad": lambda x, i: jnp.pad(x, ((0, 1), (2, 0)), constant_values=5),
    "rev": lambda x, i: x[:, ::-1],
    "split": lambda x, i: jnp.concatenate(jnp.split(x, [2, 3], axis=1)[::-1], axis=1),
    "dynamic_slice": lambda x, i: lax.dynamic_slice_in_dim(x, i[0] + 3, 4, axis=1),
    "dynamic_update_slice": lambda x, i: lax.dynamic_update_slice_in_dim(x, -x[:, :4], i[1], 1),
    "gather": [
        lambda x, i: x[:, 2],
        lambda x, i: x.T[i],
        lambda x, i: jnp.take(x.T, i - 3, axis=0, mode="clip"),
        lambda x, i: jax.vmap(lambda row, n: row[n])(x, i),
        lambda x, i: jax.vmap(lambda row, n: lax.dynamic_slice_in_dim(row, n, 1))(x, i),
        lambda x, i: jnp.take_along_axis(x, jnp.stack([i, 0 * i], axis=1), axis=1),
    ],
    "scatter": lambda x, i: x.at[:, 4].set(x[:, 0] * 2),
    "scatter-add": lambda x, i: counts(x * 5 + 9),
    "dot_general": [
        lambda x, i: x @ x.T,
        lambda x, i: jnp.einsum("ab,ac->abc", x, x),
        lambda x, i: jnp.einsum("ab,abc,dc->adb", x, jnp.stack([x] * COLUMNS, 2), x),
    ],
    "reduce_sum": lambda x, i: x.sum(axis=0),
    "reduce_max": lambda x, i: x.max(axis=1),
    "reduce_min": lambda x, i: i.min(),
    "reduce_and": lambda x, i: (x > -1).all(axis=1),
    "reduce_or": lambda x, i: (x > 1).any(axis=1),
    "argmax": [lambda x, i: x.argmax(axis=1), lambda x, i: (x > 0).argmax(axis=1)],
    "top_k": lambda x, i: jnp.concatenate(lax.top_k(x, 3), axis=1),
    "cumsum": [lambda x, i: jnp.cumsum(x, axis=1), lambda x, i: lax.cumsum(x, reverse=True)],
    "cummax": lambda x, i: lax.cummax(i),
    "iota": lambda x, i: jnp.arange(x.shape[0]) + jnp.arange(x.shape[0])[:, None],
    "dim_as_value": lambda x, i: x * (x.shape[0] * x.shape[0] - 2),
}


def program_of(function: Callable[..., Any]) -> Program:
    """A program of a function, of `x` and `i`, with the output `y`."""

    def of_names(variables: Any, inputs: Any) -> dict[str, Any]:
        return {"y": function(*map(jnp.asarray, (inputs["x"], inputs["i"])))}

    kinds = {"x": Kind(("batch", COLUMNS), "float32"), "i": Kind(("batch",), "int32")}
    return Program(of_names, kinds)


def examples_of(primitive: str) -> list[Program]:
    """The programs of an operation."""
    examples = EXAMPLES[primitive]
    return [program_of(f) for f in (examples if isinstance(examples, list) else [examples])]


def draw(rows: int) -> dict[str, np.ndarray]:
    """Random inputs of such a program."""
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, COLUMNS)).astype(np.float32)
    return {"x": x, "i": rng.integers(0, 5, rows, np.int32)}
