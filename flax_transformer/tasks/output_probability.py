"""How probable a model's own output is when its input or the model changes."""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from flax_transformer.tasks.task import Task, Variables


def output_log_prob(
    task: Task, variables: Variables, inputs: Mapping[str, Array]
) -> Callable[[Array], Float[Array, " rows"]]:
    """Makes the function from outputs of rows to the log-probability of the model's output.

    The output is the target; the most probable token after a text; or the most probable class, or
    tag or token of every place.

    Args:
        task: of the model.
        variables: of its model.
        inputs: arguments of the model for one example.

    Returns:
        A function of outputs [rows, ...] of the model for inputs of the same shapes, in nats.
    """
    outputs = task.model.apply(variables, **inputs, method=task.method)
    best = jnp.argmax(outputs[0], axis=-1)
    if task.model.config.gives == "target_tokens":
        # The next tokens that the decoder reads, and the most probable one after the last.
        best = jnp.append(inputs["target"][0, 1:], best[-1])
    elif task.model.config.gives == "next_tokens":
        best = best[-1:]

    def log_prob(outputs: Array) -> Float[Array, " rows"]:
        scores = jax.nn.log_softmax(outputs.astype(jnp.float32))
        if not best.ndim:
            return scores[:, best]
        chosen = scores[:, -len(best) :]
        return jnp.take_along_axis(chosen, best[None, :, None], axis=-1).sum(axis=(1, 2))

    return log_prob
