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
# A Transformer consists of [attention](02_attention.ipynb), a small network, and two parts that make them trainable: residual connections and normalization. This notebook explains each part, combines them by hand, and compares the result with the package's model, number by number.
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
# Attention moves information between words. The feed-forward network works on each word separately: it makes the vector wider, applies a nonlinear function, and makes it narrow again.
#
# $$\text{FFN}(x) = \max(0, x W_1 + b_1)\, W_2 + b_2$$
#
# The paper uses ReLU, $\max(0, x)$. Later models use smoother functions.

# %%
ft.visualization.plot_activations()

# %% [markdown]
# The function `feed_forward` computes the formula. The module `FeedForward` adds the parameters. Both agree with the formula. `LayerOptions` holds every option of a layer, see `help(ft.modules.LayerOptions)`.

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
# Each word is processed separately: if word 0 changes, the outputs of all other words stay the same.

# %%
changed = network.apply(variables, x.at[:, 0].set(7.0))
ft.visualization.plot_matrices({"change of the output": changed[0] - by_formula[0]})

# %% [markdown]
# ## Residual connections
#
# A layer does not replace a vector. It adds to it:
#
# $$y = x + f(x)$$
#
# So the input can pass through many layers unchanged, and so can the gradient on its way back: the derivative is $1 + f'(x)$. A sublayer with an output of zero does not change anything:

# %%
residual = ft.modules.Residual(ft.modules.LayerOptions(d_model=d_model, norm_placement="pre"))
np.testing.assert_array_equal(residual.apply({}, x, 0 * x, method="after"), x)

# %% [markdown]
# ## Normalization
#
# Every addition can make the vectors larger. Normalization sets each vector to mean 0 and variance 1, and then applies a learned scale $\gamma$ and shift $\beta$:
#
# $$\text{LayerNorm}(x) = \frac{x - \text{mean}(x)}{\sqrt{\text{var}(x) + \epsilon}}\, \gamma + \beta$$
#
# **Layer** normalization computes mean and variance over the features of one word (a row below). **Batch** normalization computes them over all words of a batch (a column). Each frame marks values that share a mean.
#
# The lower row shows why Transformers use layer normalization: if one word changes, only the output of that word changes. With batch normalization all words of all sentences in the batch change.

# %%
ft.visualization.plot_normalization(1 + 2 * jax.random.normal(jax.random.key(2), (6, 8)))

# %% [markdown]
# The paper normalizes after the addition (*post*), $\text{norm}(x + f(x))$. Many later models normalize before the sublayer (*pre*), $x + f(\text{norm}(x))$, which leaves a path through all layers without normalization. In this package it is one option: `norm_placement`.
#
# ## An encoder layer by hand
#
# An encoder layer has two residual connections with normalization: one around attention, one around the feed-forward network. The first cell below runs the package's layer with random parameters. The second computes the same with functions.

# %%
tokens = jnp.array([[5, 6, 7, 8, 2, 0, 0]])  # five tokens, two of padding
x = jax.random.normal(jax.random.key(3), (1, 7, d_model))
segments = ft.functional.token_segments(tokens, 0)  # 1 at a token, 0 at padding
layout = ft.functional.lay_out(segments)  # which tokens may attend to which; none to padding
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

# Outputs at padding are not used, so only the five tokens are compared.
np.testing.assert_allclose(by_hand[:, :5], by_module[:, :5], atol=1e-5)
float(jnp.abs(by_hand - by_module)[:, :5].max())

# %% [markdown]
# ## Encoder and decoder
#
# The encoder is a stack of such layers and reads the source, for example an English sentence. The decoder writes the target, token by token. Its layers have three parts:
#
# 1. **self-attention**, causal: a target token sees the target up to itself,
# 2. **cross-attention**: its queries come from the target, keys and values from the encoder's output,
# 3. the **feed-forward** network.
#
# So there are three masks: for the encoder, for the decoder, and for cross-attention.

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
# `EncoderDecoder` embeds the tokens, adds positions, applies all layers, and gives every token of the vocabulary a score for being the next token. Source, target and scores share one embedding table.

# %%
config = ft.EncoderDecoderConfig(
    d_model=32, d_ff=64, num_heads=4, num_encoder_layers=2, num_decoder_layers=2
)
model = ft.models.EncoderDecoder(config, vocab_size=13)
variables = model.init(jax.random.key(0), source, target)
logits = model.apply(variables, source, target, source_segments=segments)
logits.shape  # batch, target_length, vocab

# %% [markdown]
# The input of the first layer is a row of the table for each token, times $\sqrt{d_{model}}$, plus its positional encoding. The next cell computes it by hand and then applies the package's encoder layers one after the other:

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
# The decoder does not look ahead: another last target token changes only the scores at its position. Padding does not count either: the scores are the same without it.

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
# The paper's base model has 6 + 6 layers of $d_{model} = 512$. `count_parameters` uses only shapes, so even the big model does not need memory.
#
# $$\underbrace{512\, V}_{\text{table}} + 6\, \underbrace{(4 \cdot 512^2 + 2 \cdot 512 \cdot 2048 + \ldots)}_{\text{encoder layer}} + 6\, \underbrace{(8 \cdot 512^2 + 2 \cdot 512 \cdot 2048 + \ldots)}_{\text{decoder layer}}$$

# %%
matrices = 6 * (4 * 512**2 + 2 * 512 * 2048) + 6 * (8 * 512**2 + 2 * 512 * 2048)
biases_and_norms = 6 * (2048 + 512 + 2 * 2 * 512) + 6 * (2048 + 512 + 3 * 2 * 512)
by_formula = 512 * 37_000 + matrices + biases_and_norms
assert ft.models.zoo.count_parameters(ft.ZOO["base"].config, 37_000) == by_formula
by_formula

# %% [markdown]
# The paper's Table 3 gives the sizes of many variations. Each is a preset. The table below compares the published counts ("paper", in millions) with our counts for two vocabularies: the one that the paper names, and the one that reproduces the published counts. The command `flax-transformer table3` prints the same table.

# %%
ft.commands.find_command("table3")().run()

# %% [markdown]
# ## Writing token by token
#
# During translation, the decoder runs again after every token. Computing the whole target each time would be wasteful, because the keys and values of earlier tokens do not change. A *KV cache* keeps them. `start` encodes the source once. `decode` takes the cache and the next tokens, one or several.

# %%
decode = jax.jit(lambda tokens, cache: model.apply(variables, tokens, cache, method="decode"))

cache = model.apply(variables, source, 4, segments=segments, method="start")  # room for four tokens
step_1, cache = decode(target[:, :1], cache)
step_2, cache = decode(target[:, 1:2], cache)
steps_3_and_4, cache = decode(target[:, 2:], cache)

cached = jnp.concatenate([step_1, step_2, steps_3_and_4], axis=1)
np.testing.assert_allclose(cached, logits, atol=1e-5)
ft.visualization.plot_matrices(
    {"whole target at once": logits[0], "token by token": cached[0]}, target_words, "token"
)

# %% [markdown]
# This is a complete Transformer. Its parameters are still random. Next: [train one](04_train_a_translator.ipynb) to translate. To train one in your own loop, see [use it in your project](06_use_in_your_project.ipynb).
