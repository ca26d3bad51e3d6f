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
# Several devices are simulated on the CPU, so that the part on `pmap` runs anywhere. JAX reads this when it starts, so it must be set before JAX is imported. Simulated devices wait for each other, so each gets two threads (`NPROC`). With real GPUs or TPUs leave the cell out.

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
keys = jax.random.split(jax.random.key(0), len(SHAPES))
params = {
    name: jax.random.normal(key, shape) * shape[0] ** -0.5
    for key, (name, shape) in zip(keys, SHAPES.items(), strict=True)
}


@jax.jit
def forward(params, digits):
    """Gives the scores [batch, length, digits] and the attention weights."""
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
# And the attention of the trained heads, for one example: each place looks mostly at the place opposite. Nobody told it to; there stands the digit that it must write.

# %%
names = [f"{digit} at {place}" for place, digit in enumerate(digits[0].tolist())]
ft.visualization.plot_attention(weights[0], names)

# %% [markdown]
# The same over all thousand examples: the share of its attention that a place gives to the place opposite, head by head. An even share would be 1/8.

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
# The same with the package's `MultiHeadAttention`, between layers of Flax itself. It holds its own parameters and knows nothing of the model around it. `keys_values` is a call of its own, so that queries may attend to something else: another sequence, or a cache.


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
# Every named activation of a module can be looked at: a call that makes the collection "activations" mutable gets them, here the attention weights.

# %%
_, stored = jax.jit(lambda digits: model.apply(variables, digits, mutable=["activations"]))(digits)
stored["activations"]["MultiHeadAttention_0"]["weights"].shape  # batch, heads, queries, keys

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


def update(variables, state, digits, backwards):
    """Makes the same update on all devices."""
    loss, gradient = mean_gradient(variables, digits, backwards)
    updates, state = optimizer.update(gradient, state, variables)
    return optax.apply_updates(variables, updates), state, loss


parallel_step = jax.pmap(update, axis_name="devices")

# %% [markdown]
# Every device gets a copy of the variables and its share of the batch. The gradient of two devices is that of one device with the whole batch:

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
# Variables are plain dictionaries of arrays, so any tool can save them: Orbax, which the package itself uses, or safetensors. Here it is Flax's own format, and the arrays that come back are those that were saved:

# %%
with open("backwards.msgpack", "wb") as file:
    file.write(flax.serialization.to_bytes(trained))

with open("backwards.msgpack", "rb") as file:
    restored = flax.serialization.from_bytes(trained, file.read())

assert jax.tree.all(jax.tree.map(jnp.array_equal, trained, restored))
jax.tree.map(jnp.shape, restored["params"]["MultiHeadAttention_0"])

# %% [markdown]
# ## A model that the command line has trained
#
# What `flax-transformer train experiments/number_words.py --workdir runs/number_words` has trained (a minute and a half on two cores) is one call away. It is loaded once and translates as many strings as you like:
#
# ```python
# import flax_transformer as ft
#
# translator = ft.load("runs/number_words")
# translator.translate("twenty-three thousand, four hundred and five")
# # 'dreiundzwanzigtausendvierhundertfünf'
# translator.model, translator.variables, translator.tokenizer  # its parts, for your own code
# ```
