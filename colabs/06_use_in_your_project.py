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
# You can use each part of the package separately. This notebook uses its functions in a training loop of plain JAX and its modules in a Flax module of your own. Then it trains on several devices, saves the result to a file and loads it again. It does not use the package's configuration, data or training code.
#
# It runs from top to bottom in under a minute on two CPU cores.

# %%
# Installs the package where it is missing, as on a new Colab.
import importlib.util

if importlib.util.find_spec("flax_transformer") is None:
    print("installing flax_transformer ...")
    # %pip install --quiet git+https://github.com/flax-transformer/flax_transformer

# %% [markdown]
# The next cell simulates two devices on the CPU, so that the part on `pmap` runs anywhere. JAX reads these variables when it starts, so they must be set before JAX is imported. Simulated devices wait for each other, so each gets two threads (`NPROC`). With real GPUs or TPUs, omit this cell.

# %%
# %env XLA_FLAGS=--xla_force_host_platform_device_count=2
# %env NPROC=4

# %%
# %matplotlib inline
import flax
import jax
import optax

import flax_transformer as ft

nn, jnp = flax.linen, jax.numpy
jax.devices()

# %% [markdown]
# ## Functions in a loop of plain JAX
#
# The task: read eight digits and write them backwards. For this, each position must attend to the opposite position.

# %%
LENGTH, WIDTH, HEADS, DIGITS = 8, 32, 2, 10


def draw_batch(rng, size):
    """Returns random digits [size, length], and the same digits backwards."""
    digits = jax.random.randint(rng, (size, LENGTH), 0, DIGITS)
    return digits, digits[:, ::-1]


draw_batch(jax.random.key(0), 2)

# %% [markdown]
# The parameters are a dictionary of arrays, and the model is a function: embeddings with positions, one layer of attention and feed-forward, and scores of the ten digits at each position. All parts are imported. The code here only combines them.

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
keys = jax.random.split(jax.random.key(0), len(SHAPES))
params = {
    name: jax.random.normal(key, shape) * shape[0] ** -0.5
    for key, (name, shape) in zip(keys, SHAPES.items(), strict=True)
}


@jax.jit
def forward(params, digits):
    """Returns the scores [batch, length, digits] and the attention weights."""
    ones, zeros = jnp.ones(WIDTH), jnp.zeros(WIDTH)
    x = ft.functional.embed(digits, params["table"]) + ft.functional.sinusoidal_positions(
        jnp.arange(LENGTH), WIDTH
    )
    query, key, value = (
        jnp.einsum("bld,dhk->blhk", x, params[name]) for name in ("query", "key", "value")
    )
    heads, weights = ft.functional.multi_head_attend(query, key, value, return_weights=True)
    x = ft.functional.layer_norm(x + heads.reshape(*x.shape) @ params["output"], ones, zeros)
    fed = ft.functional.feed_forward(
        x, params["hidden"], jnp.zeros(2 * WIDTH), params["narrow"], zeros
    )
    return ft.functional.layer_norm(x + fed, ones, zeros) @ params["scores"], weights


# %% [markdown]
# Loss, gradient and update are your own code, here with Optax.

# %%
optimizer = optax.adam(3e-3)


def mean_loss(params, digits, backwards):
    """Returns the mean cross-entropy of a position, in nats."""
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
# `plot_curves` reads lines in the format of a training's metrics.jsonl, so your own loop can make them. A loss of $\ln 10 = 2.3$ is guessing.

# %%
lines = [
    f'{{"kind": "train", "step": {step}, "loss": {loss}}}'
    for step, loss in enumerate(losses, start=1)
]
ft.visualization.plot_curves({"backwards": lines})

# %%
digits, backwards = draw_batch(jax.random.key(7), 1000)
scores, weights = forward(params, digits)
accuracy = float((scores.argmax(axis=-1) == backwards).mean())
assert accuracy > 0.95, accuracy
{"read": digits[0].tolist(), "written": scores[0].argmax(axis=-1).tolist(), "accuracy": accuracy}

# %% [markdown]
# The picture shows the attention of the trained heads for one example. Each position attends mostly to the opposite position, because the digit to write is there. The loss does not mention attention: the model learned this.

# %%
names = [f"{digit} at {place}" for place, digit in enumerate(digits[0].tolist())]
ft.visualization.plot_attention(weights[0], names)

# %% [markdown]
# The next cell averages over all thousand examples: for each head, the share of attention that a position gives to the opposite position. Uniform attention would give 1/8.

# %%
opposite = jnp.arange(LENGTH)[::-1]
shares = weights[:, :, jnp.arange(LENGTH), opposite].mean(axis=(0, 2))
assert shares.max() > 0.5
shares.tolist()

# %%
ft.view_attention(weights[None, 0], names, title="a trained layer writes digits backwards")

# %% [markdown]
# ## Modules inside a Flax module
#
# This is the same model with the package's `MultiHeadAttention` between Flax's own layers. The module holds its own parameters and does not depend on the model around it. `keys_values` is a separate call, so queries may also attend to another sequence or to a cache.


# %%
OPTIONS = ft.modules.LayerOptions(d_model=WIDTH, num_heads=HEADS, positions="none")


class Backwards(nn.Module):
    """Writes a sequence backwards: Flax's layers around this package's attention."""

    @nn.compact
    def __call__(self, digits):
        x = nn.Embed(DIGITS, WIDTH)(digits) + ft.functional.sinusoidal_positions(
            jnp.arange(LENGTH), WIDTH
        )
        attention = ft.modules.MultiHeadAttention(OPTIONS)
        x = nn.LayerNorm()(x + attention(x, attention.keys_values(x)))
        x = nn.LayerNorm()(x + nn.Dense(WIDTH)(nn.relu(nn.Dense(2 * WIDTH)(x))))
        return nn.Dense(DIGITS)(x)


model = Backwards()
variables = jax.jit(model.init)(jax.random.key(0), digits)
jax.tree.map(jnp.shape, variables["params"]["MultiHeadAttention_0"])

# %% [markdown]
# You can read every named activation of a module, here the attention weights. Make the collection "activations" mutable, and the call also returns it.

# %%
_, stored = jax.jit(lambda digits: model.apply(variables, digits, mutable=["activations"]))(digits)
stored["activations"]["MultiHeadAttention_0"]["weights"].shape  # batch, heads, queries, keys

# %% [markdown]
# ## On several devices
#
# `pmap` runs a step on every device, each with its share of the batch. Values are summed over the devices (`psum`) before any mean is taken, so the result does not depend on how the batch is split.


# %%
def sum_loss(variables, digits, backwards):
    """Returns the summed cross-entropy of all positions."""
    scores = model.apply(variables, digits)
    return optax.softmax_cross_entropy_with_integer_labels(scores, backwards).sum()


def mean_gradient(variables, digits, backwards):
    """Returns the mean loss of a position and its gradient, over the shares of all devices."""
    loss, gradient = jax.value_and_grad(sum_loss)(variables, digits, backwards)
    loss, gradient, places = jax.lax.psum((loss, gradient, digits.size), "devices")
    return loss / places, jax.tree.map(lambda x: x / places, gradient)


def update(variables, state, digits, backwards):
    """Makes the same update on all devices."""
    loss, gradient = mean_gradient(variables, digits, backwards)
    updates, state = optimizer.update(gradient, state, variables)
    return optax.apply_updates(variables, updates), state, loss


parallel_step = jax.pmap(update, axis_name="devices")

# %% [markdown]
# Every device gets a copy of the variables and its share of the batch. The gradient of two devices equals that of one device with the whole batch:

# %%
count = jax.local_device_count()
share = lambda x: x.reshape(count, -1, LENGTH)
copies = lambda tree: jax.tree.map(lambda x: jnp.stack([x] * count), tree)

digits, backwards = draw_batch(jax.random.key(3), 64)
mean = lambda variables: sum_loss(variables, digits, backwards) / digits.size
loss, gradient = jax.jit(jax.value_and_grad(mean))(variables)
losses, gradients = jax.pmap(mean_gradient, "devices")(
    copies(variables), share(digits), share(backwards)
)
is_equal = jax.tree.map(lambda all, one: jnp.allclose(all[0], one, atol=1e-5), gradients, gradient)
assert jax.tree.all(is_equal)
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
# Variables are plain dictionaries of arrays, so any tool can save them: Orbax, which the package itself uses, or safetensors. This cell uses Flax's own format. The loaded arrays equal the saved arrays:

# %%
with open("backwards.msgpack", "wb") as file:
    file.write(flax.serialization.to_bytes(trained))

with open("backwards.msgpack", "rb") as file:
    restored = flax.serialization.from_bytes(trained, file.read())

assert jax.tree.all(jax.tree.map(jnp.array_equal, trained, restored))
jax.tree.map(jnp.shape, restored["params"]["MultiHeadAttention_0"])

# %% [markdown]
# ## A model trained on the command line
#
# This command trains a model in a minute and a half on two cores: `flax-transformer train experiments/number_words.py --workdir runs/number_words`. One call loads it in Python. It then translates any number of strings:
#
# ```python
# import flax_transformer as ft
#
# translator = ft.load("runs/number_words")
# translator.translate("twenty-three thousand, four hundred and five")
# # 'dreiundzwanzigtausendvierhundertfünf'
# translator.model, translator.variables, translator.tokenizer  # its parts, for your own code
# ```
#
# Next: what happens [inside a translator](07_inside_a_translator.ipynb).
