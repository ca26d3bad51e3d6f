# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Use it in your own project
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/flax-transformer/flax_transformer/blob/main/colabs/06_use_in_your_project.ipynb)
#
# The package is made of parts that you can take one by one. This notebook takes its functions into a training loop of plain JAX, its modules into a Flax module of your own, both onto several devices, and the result to a file and back. Nothing here uses the package's configuration, data or training code.
#
# It runs from top to bottom in under a minute on two CPU cores.

# %%
# Installs the package where it is missing, as on a new Colab.
import importlib.util

if importlib.util.find_spec("flax_transformer") is None:
    print("installing flax_transformer ...")
    # %pip install --quiet git+https://github.com/flax-transformer/flax_transformer

# %% [markdown]
# Several devices are simulated on the CPU, so that the part on `pmap` runs anywhere. JAX reads this when it starts, so it must be said before JAX is imported. With real GPUs or TPUs leave the cell out.

# %%
import os

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"

# %%
# %matplotlib inline
import functools
import json
import tempfile
from pathlib import Path

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp

from flax_transformer.functional import (
    embed,
    feed_forward,
    layer_norm,
    multi_head_attend,
    sinusoidal_positions,
)
from flax_transformer.modules import MultiHeadAttention
from flax_transformer.runtime.process import spare_threads
from flax_transformer.visualization import view_attention
from flax_transformer.visualization.attention_maps import plot_attention
from flax_transformer.visualization.curves import plot_curves

spare_threads()  # simulated devices wait for each other: each gets a thread to spare
jax.devices()

# %% [markdown]
# ## Functions in a loop of plain JAX
#
# The task: read eight digits and write them backwards. To do so, a place must look at the place opposite to it, which is what attention is for.

# %%
LENGTH, WIDTH, HEADS, DIGITS = 8, 32, 2, 10


def draw_batch(rng, size):
    """Draws digits, and the same backwards."""
    digits = jax.random.randint(rng, (size, LENGTH), 0, DIGITS)
    return digits, digits[:, ::-1]


draw_batch(jax.random.key(0), 2)

# %% [markdown]
# The parameters are a dictionary of arrays, and the model is a function: embeddings with positions, one layer of attention and feed-forward, scores of the ten digits at each place. All parts are imported, only their order is written here.

# %%
SHAPES = {
    "table": (DIGITS, WIDTH),
    "query": (WIDTH, HEADS, WIDTH // HEADS),
    "key": (WIDTH, HEADS, WIDTH // HEADS),
    "value": (WIDTH, HEADS, WIDTH // HEADS),
    "output": (WIDTH, WIDTH),
    "hidden": (WIDTH, 2 * WIDTH),
    "narrow": (2 * WIDTH, WIDTH),
    "scores": (WIDTH, DIGITS),
}
rng = np.random.default_rng(0)
params = {
    name: jnp.asarray(rng.normal(scale=shape[0] ** -0.5, size=shape), jnp.float32)
    for name, shape in SHAPES.items()
}


@jax.jit
def forward(params, digits):
    """Gives the scores [batch, length, digits] and the attention weights."""
    ones, zeros = jnp.ones(WIDTH), jnp.zeros(WIDTH)
    x = embed(digits, params["table"]) + sinusoidal_positions(jnp.arange(LENGTH), WIDTH)
    query, key, value = (
        jnp.einsum("bld,dhk->blhk", x, params[name]) for name in ("query", "key", "value")
    )
    heads, weights = multi_head_attend(query, key, value, return_weights=True)
    x = layer_norm(x + heads.reshape(*x.shape) @ params["output"], ones, zeros)
    fed = feed_forward(x, params["hidden"], jnp.zeros(2 * WIDTH), params["narrow"], zeros)
    return layer_norm(x + fed, ones, zeros) @ params["scores"], weights


# %% [markdown]
# Loss, gradient, update: the loop is yours, with Optax or whatever you use.

# %%
optimizer = optax.adam(3e-3)


def mean_loss(params, digits, backwards):
    """The mean cross-entropy of a place, in nats."""
    scores, _ = forward(params, digits)
    return optax.softmax_cross_entropy_with_integer_labels(scores, backwards).mean()


@jax.jit
def train_step(params, state, rng):
    """Makes one update on a new batch."""
    loss, gradient = jax.value_and_grad(mean_loss)(params, *draw_batch(rng, 64))
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, loss


state, losses = optimizer.init(params), []
for step in range(200):
    params, state, loss = train_step(params, state, jax.random.key(1000 + step))
    losses.append(float(loss))

# %% [markdown]
# `plot_curves` reads the lines of a training's metrics.jsonl; those of your own loop will do. A loss of $\ln 10 = 2.3$ is guessing.

# %%
lines = [
    json.dumps({"kind": "train", "step": step, "loss": loss})
    for step, loss in enumerate(losses, start=1)
]
plot_curves({"backwards": lines})

# %%
digits, backwards = draw_batch(jax.random.key(7), 1000)
scores, weights = forward(params, digits)
accuracy = float((scores.argmax(axis=-1) == backwards).mean())
assert accuracy > 0.95, accuracy
{"read": digits[0].tolist(), "written": scores[0].argmax(axis=-1).tolist(), "accuracy": accuracy}

# %% [markdown]
# And the attention of the trained heads, for one example: each place looks mostly at the place opposite. Nobody told it to; there stands the digit that it must write.

# %%
names = [f"{digit} at {place}" for place, digit in enumerate(digits[0].tolist())]
plot_attention(weights[0], names)

# %% [markdown]
# The same over all thousand examples: the share of its attention that a place gives to the place opposite, head by head. An even share would be 1/8.

# %%
opposite = jnp.arange(LENGTH)[::-1]
shares = weights[:, :, jnp.arange(LENGTH), opposite].mean(axis=(0, 2))
assert shares.max() > 0.5
shares.tolist()

# %%
view_attention(weights[None, 0], names, title="a trained layer writes digits backwards")

# %% [markdown]
# ## Modules inside a Flax module
#
# The same with the package's `MultiHeadAttention`, between layers of Flax itself. It holds its own parameters and knows nothing of the model around it. `keys_values` is a call of its own, so that queries may attend to something else: another sequence, or a cache.


# %%
class Backwards(nn.Module):
    """Writes a sequence backwards: Flax's layers around this package's attention."""

    @nn.compact
    def __call__(self, digits):
        x = nn.Embed(DIGITS, WIDTH)(digits) + sinusoidal_positions(jnp.arange(LENGTH), WIDTH)
        attention = MultiHeadAttention(num_heads=HEADS, d_model=WIDTH)
        x = nn.LayerNorm()(x + attention(x, attention.keys_values(x)))
        x = nn.LayerNorm()(x + nn.Dense(WIDTH)(nn.relu(nn.Dense(2 * WIDTH)(x))))
        return nn.Dense(DIGITS)(x)


model = Backwards()
variables = jax.jit(model.init)(jax.random.key(0), digits)
jax.tree.map(jnp.shape, variables["params"]["MultiHeadAttention_0"])

# %% [markdown]
# Attention weights are kept when a call asks for them, by making the collection "attention" mutable:

# %%
_, stored = jax.jit(lambda digits: model.apply(variables, digits, mutable=["attention"]))(digits)
stored["attention"]["MultiHeadAttention_0"]["weights"][0].shape  # batch, heads, queries, keys

# %% [markdown]
# ## On several devices
#
# `pmap` runs a step on every device, each with its share of the batch. Sums are formed over the devices (`psum`) before any mean is taken, so that the result does not depend on how the batch was cut.


# %%
def sum_loss(variables, digits, backwards):
    """The summed cross-entropy of all places."""
    scores = model.apply(variables, digits)
    return optax.softmax_cross_entropy_with_integer_labels(scores, backwards).sum()


def mean_gradient(variables, digits, backwards):
    """The mean loss of a place and its gradient, over the shares of all devices."""
    loss, gradient = jax.value_and_grad(sum_loss)(variables, digits, backwards)
    loss, gradient, places = jax.lax.psum((loss, gradient, digits.size), "devices")
    return loss / places, jax.tree.map(lambda x: x / places, gradient)


@functools.partial(jax.pmap, axis_name="devices")
def parallel_step(variables, state, digits, backwards):
    """Makes the same update on all devices."""
    loss, gradient = mean_gradient(variables, digits, backwards)
    updates, state = optimizer.update(gradient, state, variables)
    return optax.apply_updates(variables, updates), state, loss


# %% [markdown]
# Every device gets a copy of the variables and its share of the batch. The gradient of two devices is that of one device with the whole batch:

# %%
count = jax.local_device_count()
share = lambda x: x.reshape(count, -1, LENGTH)
copies = lambda tree: jax.tree.map(lambda x: np.stack([x] * count), tree)

digits, backwards = draw_batch(jax.random.key(3), 64)
mean = lambda variables: sum_loss(variables, digits, backwards) / digits.size
loss, gradient = jax.jit(jax.value_and_grad(mean))(variables)
losses, gradients = jax.pmap(mean_gradient, "devices")(
    copies(variables), share(digits), share(backwards)
)
jax.tree.map(
    lambda all, one: np.testing.assert_allclose(all[0], one, atol=1e-5), gradients, gradient
)
float(loss), losses.tolist()

# %% [markdown]
# Train it on both devices:

# %%
many, state = copies(variables), copies(jax.jit(optimizer.init)(variables))
for step in range(200):
    digits, backwards = draw_batch(jax.random.key(step), 64)
    many, state, loss = parallel_step(many, state, share(digits), share(backwards))

trained = jax.tree.map(lambda x: x[0], many)  # all devices hold the same
digits, backwards = draw_batch(jax.random.key(7_000), 1000)
written = jax.jit(model.apply)(trained, digits).argmax(axis=-1)
accuracy = float((written == backwards).mean())
assert accuracy > 0.95, accuracy
{"devices": count, "loss": float(loss[0]), "accuracy": accuracy}

# %% [markdown]
# ## To a file and back
#
# Variables are plain dictionaries of arrays, so any tool can save them. Here it is Orbax, which the package itself uses, and what comes back is what was saved:

# %%
folder = Path(tempfile.mkdtemp()) / "backwards"
with ocp.StandardCheckpointer() as checkpointer:
    checkpointer.save(folder, trained)

with ocp.StandardCheckpointer() as checkpointer:
    restored = checkpointer.restore(folder, jax.eval_shape(lambda: trained))

jax.tree.map(np.testing.assert_array_equal, trained, restored)
sorted(path.name for path in folder.iterdir())

# %% [markdown]
# ## A model that the command line has trained
#
# What `flax-transformer train experiments/number_words.py --workdir runs/number_words` has trained (a minute and a half on two cores) is one call away. It is loaded once and translates as many strings as you like:
#
# ```python
# import flax_transformer
#
# translator = flax_transformer.load("runs/number_words")
# translator.translate("twenty-three thousand, four hundred and five")
# # 'dreiundzwanzigtausendvierhundertfünf'
# translator.model, translator.variables, translator.tokenizer  # its parts, for your own code
# ```
