from collections.abc import Callable
from typing import Any

import jax
import optax


def fit(
    loss: Callable[[Any], jax.Array], variables: Any, *, num_steps: int = 60, rate: float = 0.02
) -> tuple[float, float]:
    """Takes steps of Adam down a loss, and gives it at first and at last."""
    optimizer = optax.adam(rate)

    @jax.jit
    def step(variables, state):
        value, gradients = jax.value_and_grad(loss)(variables)
        updates, state = optimizer.update(gradients, state)
        return optax.apply_updates(variables, updates), state, value

    state, values = optimizer.init(variables), []
    # The last step only tells the loss that the others led to.
    for _ in range(num_steps + 1):
        variables, state, value = step(variables, state)
        values.append(float(value))
    return values[0], values[-1]
