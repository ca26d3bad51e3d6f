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
# # Build a Transformer
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/flax-transformer/flax_transformer/blob/main/colabs/03_build_a_transformer.ipynb)
#
# A Transformer is [attention](02_attention.ipynb), a small network, and two things that make them trainable: residual connections and normalization. This notebook takes each by itself, puts them together by hand, and compares the result with the package's model, number by number.
#
# It runs from top to bottom in under a minute on two CPU cores.

# %%
# Installs the package where it is missing, as on a new Colab.
import importlib.util

if importlib.util.find_spec("flax_transformer") is None:
    print("installing flax_transformer ...")
    # %pip install --quiet git+https://github.com/flax-transformer/flax_transformer

# %%
# %matplotlib inline
import jax
import jax.numpy as jnp
import numpy as np

import flax_transformer as ft

# %% [markdown]
# ## The feed-forward network
#
# Attention moves information between words. The feed-forward network works on each word by itself: it makes the vector wider, bends it, and makes it narrow again.
#
# $$\text{FFN}(x) = \max(0, x W_1 + b_1)\, W_2 + b_2$$
#
# The paper bends with ReLU, $\max(0, x)$. Later models use smoother curves.

# %%
ft.visualization.plot_activations()

# %% [markdown]
# The module `FeedForward` holds the parameters; the function `feed_forward` computes. Both agree with the formula. `LayerOptions` holds every option of a layer: `help(ft.modules.LayerOptions)`.

# %%
d_model, d_ff = 16, 32
x = jax.random.normal(jax.random.key(0), (1, 5, d_model))  # one sentence of five words
options = ft.modules.LayerOptions(d_model=d_model, d_ff=d_ff, num_heads=4)
network = ft.modules.FeedForward(options)
variables = network.init(jax.random.key(1), x)
hidden, out = variables["params"]["hidden"], variables["params"]["output"]

by_formula = jnp.maximum(0, x @ hidden["kernel"] + hidden["bias"]) @ out["kernel"] + out["bias"]
by_function = ft.functional.feed_forward(
    x, hidden["kernel"], hidden["bias"], out["kernel"], out["bias"]
)
np.testing.assert_allclose(by_function, by_formula, atol=1e-5)
np.testing.assert_allclose(network.apply(variables, x), by_formula, atol=1e-5)
by_formula.shape

# %% [markdown]
# Each word by itself: change word 0, and the outputs of all others stay.

# %%
changed = network.apply(variables, x.at[:, 0].set(7.0))
ft.visualization.plot_matrices({"change of the output": changed[0] - by_formula[0]})

# %% [markdown]
# ## Residual connections
#
# A layer does not replace a vector, it adds to it:
#
# $$y = x + f(x)$$
#
# So what came in can pass through many layers unharmed, and so can the gradient on its way back: its derivative is $1 + f'(x)$. A sublayer that gives nothing yet changes nothing:

# %%
residual = ft.modules.Residual(ft.modules.LayerOptions(d_model=d_model, norm_placement="pre"))
np.testing.assert_array_equal(residual.apply({}, x, 0 * x, method="after"), x)

# %% [markdown]
# ## Normalization
#
# Every addition can make the vectors larger. Normalization brings each vector back to mean 0 and variance 1 and then lets the model choose scale $\gamma$ and shift $\beta$:
#
# $$\text{LayerNorm}(x) = \frac{x - \text{mean}(x)}{\sqrt{\text{var}(x) + \epsilon}}\, \gamma + \beta$$
#
# **Layer** normalization takes mean and variance over the features of one word, a row below. **Batch** normalization takes them over all words of a batch, a column. The frames show what shares a mean.
#
# The lower row shows why Transformers take the first: if one word changes, layer normalization changes that word alone. With batch normalization all words of all sentences in the batch change with it.

# %%
ft.visualization.plot_normalization(1 + 2 * jax.random.normal(jax.random.key(2), (6, 8)))

# %% [markdown]
# The paper normalizes after the addition (*post*), $\text{norm}(x + f(x))$. Many later models do it before (*pre*), $x + f(\text{norm}(x))$, which leaves a way through all layers that nothing normalizes. In this package it is one word: `norm_placement`.
#
# ## An encoder layer by hand
#
# Attention in a residual connection with normalization, then the feed-forward network in another. Here is the package's layer, with random parameters, and below it the same from functions.

# %%
tokens = jnp.array([[5, 6, 7, 8, 2, 0, 0]])  # five tokens and two places of padding
x = jax.random.normal(jax.random.key(3), (1, 7, d_model))
segments = ft.functional.token_segments(tokens, 0)  # 1 at a token, 0 at padding
layout = ft.functional.lay_out(segments)  # who may attend to whom: no padding
layer = ft.modules.EncoderLayer(options)
variables = layer.init(jax.random.key(4), x, layout)
by_module = layer.apply(variables, x, layout)
jax.tree.map(jnp.shape, variables["params"])

# %%
params = variables["params"]
attention, network = params["attention"], params["feed_forward"]

# Projections to four heads of width 4, attention, and back to d_model.
query = jnp.einsum("bld,dhk->blhk", x, attention["query"]["kernel"])
key = jnp.einsum("bld,dhk->blhk", x, attention["key"]["kernel"])
value = jnp.einsum("bld,dhk->blhk", x, attention["value"]["kernel"])
heads = ft.functional.multi_head_attend(
    query, key, value, mask=ft.functional.padding_mask(segments)
)
attended = jnp.einsum("blhk,hkd->bld", heads, attention["output"]["kernel"])

# Add and normalize, twice.
first_norm = params["attention_residual"]["normalize"]
second_norm = params["feed_forward_residual"]["normalize"]
y = ft.functional.layer_norm(x + attended, first_norm["scale"], first_norm["bias"])
hidden, out = network["hidden"], network["output"]
fed = ft.functional.feed_forward(y, hidden["kernel"], hidden["bias"], out["kernel"], out["bias"])
by_hand = ft.functional.layer_norm(y + fed, second_norm["scale"], second_norm["bias"])

# Places of padding are nobody's words: the five tokens count.
np.testing.assert_allclose(by_hand[:, :5], by_module[:, :5], atol=1e-5)
float(jnp.abs(by_hand - by_module)[:, :5].max())

# %% [markdown]
# ## Encoder and decoder
#
# The encoder is a stack of such layers and reads the source, for example an English sentence. The decoder writes the target, token by token. Its layers have one part more:
#
# 1. **self-attention**, causal: a target token sees the target up to itself,
# 2. **cross-attention**: its queries come from the target, keys and values from the encoder's output,
# 3. the **feed-forward** network.
#
# So there are three masks:

# %%
source, target = jnp.array([[5, 6, 7, 8, 2, 0, 0]]), jnp.array([[1, 9, 10, 11]])
segments = ft.functional.token_segments(source, 0)
source_words = ["I", "am", "not", "tired", "</s>", "<pad>", "<pad>"]
target_words = ["<s>", "ich", "bin", "nicht"]

ft.visualization.plot_mask(
    jnp.broadcast_to(ft.functional.padding_mask(segments)[0], (7, 7)), source_words
)  # encoder

# %%
ft.visualization.plot_mask(ft.functional.causal_mask(4), target_words)  # decoder

# %%
ft.visualization.plot_mask(
    jnp.broadcast_to(ft.functional.padding_mask(segments)[0], (4, 7)), source_words, target_words
)  # cross

# %% [markdown]
# ## The whole model
#
# `EncoderDecoder` embeds the tokens, adds positions, passes them through all layers, and scores every token of the vocabulary as the next one. One table serves source, target and scores.

# %%
config = ft.EncoderDecoderConfig(
    d_model=32, d_ff=64, num_heads=4, num_encoder_layers=2, num_decoder_layers=2
)
model = ft.models.EncoderDecoder(config, vocab_size=13)
variables = model.init(jax.random.key(0), source, target)
logits = model.apply(variables, source, target, source_segments=segments)
logits.shape  # batch, target_length, vocab

# %% [markdown]
# What enters the first layer are rows of the table, times $\sqrt{d_{model}}$, with the positions added. Here it is by hand, and the encoder from there on is the package's layers one after the other:

# %%
params = variables["params"]
embedded = params["embedding"]["table"][source] * 32**0.5
entering = embedded + ft.functional.sinusoidal_positions(jnp.arange(7), 32)

encoder_layer = ft.modules.EncoderLayer(config.of_layer())
layout = ft.functional.lay_out(segments)
after_one = encoder_layer.apply({"params": params["encoder_0"]}, entering, layout)
after_two = encoder_layer.apply({"params": params["encoder_1"]}, after_one, layout)
encoded = model.apply(variables, source, segments=segments, method="encode")
np.testing.assert_allclose(after_two[:, :5], encoded[:, :5], atol=1e-5)

# %% [markdown]
# Nothing looks ahead: with another last target token the scores change at its place alone. And the words in places of padding do not count: whatever stands there is never looked at.

# %%
another = model.apply(variables, source, target.at[0, -1].set(4), source_segments=segments)
np.testing.assert_array_equal(another[:, :-1], logits[:, :-1])
without_padding = model.apply(variables, source[:, :5], target)
np.testing.assert_allclose(without_padding, logits, atol=1e-5)

ft.visualization.plot_matrices(
    {"change of the scores": another[0] - logits[0]}, target_words, "token"
)

# %% [markdown]
# ## How large is it?
#
# The paper's base model has 6 + 6 layers of $d_{model} = 512$. `count_parameters` counts from shapes alone, so even the big one takes no memory.
#
# $$\underbrace{512\, V}_{\text{table}} + 6\, \underbrace{(4 \cdot 512^2 + 2 \cdot 512 \cdot 2048 + \ldots)}_{\text{encoder layer}} + 6\, \underbrace{(8 \cdot 512^2 + 2 \cdot 512 \cdot 2048 + \ldots)}_{\text{decoder layer}}$$

# %%
matrices = 6 * (4 * 512**2 + 2 * 512 * 2048) + 6 * (8 * 512**2 + 2 * 512 * 2048)
biases_and_norms = 6 * (2048 + 512 + 2 * 2 * 512) + 6 * (2048 + 512 + 3 * 2 * 512)
by_formula = 512 * 37_000 + matrices + biases_and_norms
assert ft.models.zoo.count_parameters(ft.ZOO["base"].config, 37_000) == by_formula
by_formula

# %% [markdown]
# The paper's Table 3 gives the sizes of many variations. Every one is a preset. Below, what was published ("paper", in millions) stands beside what is counted with the vocabulary that the paper names, and with the one that gives the published counts. The command `flax-transformer table3` prints the same.

# %%
ft.commands.find_command("table3")().run()

# %% [markdown]
# ## Writing token by token
#
# While it translates, the decoder has to be asked again after every token. To compute the whole target each time would be a waste, because keys and values of earlier tokens do not change. A *cache* keeps them. `start` encodes the source once, `decode` takes the next tokens, one or several, and the cache.

# %%
decode = jax.jit(lambda tokens, cache: model.apply(variables, tokens, cache, method="decode"))

cache = model.apply(variables, source, 4, segments=segments, method="start")  # four tokens
step_1, cache = decode(target[:, :1], cache)
step_2, cache = decode(target[:, 1:2], cache)
steps_3_and_4, cache = decode(target[:, 2:], cache)

cached = jnp.concatenate([step_1, step_2, steps_3_and_4], axis=1)
np.testing.assert_allclose(cached, logits, atol=1e-5)
ft.visualization.plot_matrices(
    {"whole target at once": logits[0], "token by token": cached[0]}, target_words, "token"
)

# %% [markdown]
# That is a whole Transformer. Its parameters are still random. Next: [train one](04_train_a_translator.ipynb) to translate. How to train one in a loop of your own is shown in [use it in your project](06_use_in_your_project.ipynb).
