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
# # Positional encoding: the order of words
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/flax-transformer/flax_transformer/blob/main/colabs/01_positional_encoding.ipynb)
#
# A Transformer reads all words of a sentence at once, so it does not see their order. This notebook shows why the order matters, and how sines and cosines encode it.
#
# It runs from top to bottom in under a minute on two CPU cores. Every function comes from the package, so you can use each in your own project.

# %%
# Installs the package where it is missing, as on a new Colab.
import importlib.util

if importlib.util.find_spec("flax_transformer") is None:
    print("installing flax_transformer ...")
    # %pip install --quiet git+https://github.com/flax-transformer/flax_transformer

# %%
# %matplotlib inline
import flax.linen as nn
import jax
import jax.numpy as jnp

import flax_transformer as ft

# %% [markdown]
# ## From words to vectors
#
# A network computes with vectors, so every word of a vocabulary gets a number, its *token id*. The simplest vector for an id $k$ is *one-hot*: as long as the vocabulary, with a single 1 at index $k$.
#
# One-hot vectors are long, and each is equally far from every other. So they are multiplied by a learned table $E$ with one row for each word:
#
# $$\text{embedding}(k) = \text{one\_hot}(k)\, E$$

# %%
vocabulary = ["<pad>", "the", "avengers", "defeated", "thanos"]
tokens = jnp.array([1, 2, 3, 4])  # the avengers defeated thanos
table = jax.random.normal(jax.random.key(0), (len(vocabulary), 8))

ft.visualization.plot_lookup(tokens, table, vocabulary)

# %% [markdown]
# Multiplying by a one-hot vector selects a row. In practice the row is looked up, without a multiplication.

# %%
embedded = ft.functional.embed(tokens, table)
assert jnp.array_equal(embedded, ft.functional.embed_one_hot(tokens, table))
embedded[0], table[1]

# %% [markdown]
# ## Without positions the order is lost
#
# "The Avengers defeated Thanos" and "Thanos defeated the Avengers" have the same words but different meanings. Here is an encoder with one layer, random parameters and **no** positions. It reads both sentences. Then its outputs for the second sentence are put in the order of the first.

# %%
sentences = jnp.array([[1, 2, 3, 4], [4, 3, 1, 2]])
in_order = jnp.argsort(sentences[1])
config = ft.EncoderDecoderConfig(
    d_model=32, d_ff=64, num_heads=4, num_encoder_layers=1, positions="none"
)
encoder = ft.models.EncoderDecoder(config, len(vocabulary))
variables = encoder.init(jax.random.key(0), sentences, method="encode")

first, second = encoder.apply(variables, sentences, method="encode")
ft.visualization.plot_matrices(
    {
        "the avengers defeated thanos": first,
        "thanos defeated the avengers": second[in_order],
        "difference": first - second[in_order],
    },
    vocabulary[1:],
)

# %% [markdown]
# The difference is zero, except for rounding. Attention computes a weighted sum, and a sum does not depend on the order of its terms, whatever the parameters are. So this encoder treats a sentence as a bag of words, and no training could teach it who defeated whom.

# %%
assert jnp.allclose(first, second[in_order], atol=1e-5)
float(jnp.abs(first - second[in_order]).max())

# %% [markdown]
# The same parameters with sinusoidal positions (explained below) tell the two sentences apart.

# %%
config = ft.EncoderDecoderConfig(
    d_model=32, d_ff=64, num_heads=4, num_encoder_layers=1, positions="sinusoidal"
)
with_positions = ft.models.EncoderDecoder(config, len(vocabulary))
first, second = with_positions.apply(variables, sentences, method="encode")
ft.visualization.plot_matrices(
    {
        "the avengers defeated thanos": first,
        "thanos defeated the avengers": second[in_order],
        "difference": first - second[in_order],
    },
    vocabulary[1:],
)

# %% [markdown]
# ## The alternative: a recurrent network
#
# A recurrent network reads the words one after the other, and each state depends on the one before:
#
# $$h_t = f(h_{t-1}, x_t)$$
#
# So it does not need positions: earlier words have passed through $f$ more often.

# %%
recurrent = nn.RNN(nn.GRUCell(32))
embedded = ft.functional.embed(sentences, table)
parameters = recurrent.init(jax.random.key(0), embedded)
first, second = recurrent.apply(parameters, embedded)
ft.visualization.plot_matrices(
    {
        "the avengers defeated thanos": first,
        "thanos defeated the avengers": second[in_order],
        "difference": first - second[in_order],
    },
    vocabulary[1:],
)

# %% [markdown]
# The price: state $t$ can only be computed after state $t - 1$. The programs that JAX makes show this. The recurrent network's program contains a loop over the words (`scan`). The encoder's program does not, so all its words can be computed at the same time.

# %%
recurrent_program = jax.make_jaxpr(recurrent.apply)(parameters, embedded)
encoder_program = jax.make_jaxpr(lambda x: encoder.apply(variables, x, method="encode"))(sentences)
{"recurrent": "scan" in str(recurrent_program), "encoder": "scan" in str(encoder_program)}

# %% [markdown]
# ## First idea: count
#
# The encoder needs the position of each word. The obvious way is to add the position's number to the word's embedding. It fails, because the number grows without bound and the embedding does not.
#
# Below, all four words are put at positions 1, 10 and 1,000, and then normalized as in every layer of a Transformer. The library adds the number to column 0. At position 1,000 only that column is left: the words have become nearly equal.

# %%
scale, bias = jnp.ones(8), jnp.zeros(8)
ft.visualization.plot_matrices(
    {
        f"position {position:,}": ft.functional.layer_norm(
            table[1:] + ft.functional.position_numbers(jnp.array([position]), 8), scale, bias
        )
        for position in (1, 10, 1000)
    },
    vocabulary[1:],
)

# %% [markdown]
# ## Second idea: scale to [0, 1]
#
# Scale by the length of the sentence, so that the first word is at 0 and the last word at 1. Now nothing grows. But the size of a step depends on the sentence: in a sentence of 5 words the next word is 0.25 away, in one of 9 words 0.125. "The previous word" has no fixed distance.

# %%
of_five = ft.functional.scaled_positions(jnp.arange(5), jnp.full(5, 5), 1)[:, 0]
of_nine = ft.functional.scaled_positions(jnp.arange(9), jnp.full(9, 9), 1)[:, 0]
of_five.tolist(), of_nine.tolist()

# %% [markdown]
# The picture compares both ideas and the next one, in sentences of 6, 12 and 24 words. The number grows with every word. The scaled position depends on the length of the sentence. The sine does neither.

# %%
names = ("number", "scaled", "sinusoidal")
ft.visualization.plot_by_length({name: ft.functional.SCHEMES[name] for name in names}, [6, 12, 24])

# %% [markdown]
# ## Sines and cosines
#
# One sine stays within $[-1, 1]$, but it repeats: two positions a period apart have the same value. So the paper uses many sines, from fast to slow, like the hands of a clock:
#
# $$PE(pos, 2i) = \sin\left(\frac{pos}{10000^{2i/d_{model}}}\right) \qquad PE(pos, 2i + 1) = \cos\left(\frac{pos}{10000^{2i/d_{model}}}\right)$$
#
# The picture shows some columns as waves (left) and all columns, with one row for each position (middle).

# %%
encodings = ft.functional.sinusoidal_positions(jnp.arange(64), 128)
ft.visualization.plot_encodings(encodings)

# %% [markdown]
# The right panel shows the dot product of any two positions against their distance. All pairs with the same distance have the same product, so the product depends only on the distance. This follows from $\sin a \sin b + \cos a \cos b = \cos(a - b)$:
#
# $$PE(p) \cdot PE(p + k) = \sum_i \cos\left(\frac{k}{10000^{2i/d_{model}}}\right)$$

# %%
distance = 7
products = jnp.sum(encodings[:-distance] * encodings[distance:], axis=-1)
frequencies = 10_000.0 ** (-jnp.arange(0, 128, 2) / 128)
assert jnp.allclose(products, jnp.cos(distance * frequencies).sum(), rtol=1e-4)
float(products.min()), float(products.max())

# %% [markdown]
# A step of $k$ words is the same rotation wherever it begins: each pair of a sine and a cosine rotates by a fixed angle. The library's `rotary` rotates such pairs. Rotated by 7 positions, the encoding of position $p$ becomes that of $p - 7$, for every $p$. So a linear layer can learn "seven words before".

# %%
turned = ft.functional.rotary(encodings[distance:], jnp.full(64 - distance, distance))
assert jnp.allclose(turned, encodings[:-distance], atol=1e-5)

# %% [markdown]
# ## Four properties
#
# A good positional scheme has:
#
# 1. a **unique value** for every position,
# 2. a **consistent distance**: two positions are equally far apart in short and in long sentences,
# 3. it **extends** beyond the longest sentence in training,
# 4. it is **bounded and deterministic**.
#
# `check_wishes` measures these properties for any scheme. The command `flax-transformer positions` prints the same table.

# %%
schemes = ft.functional.SCHEMES
ft.visualization.plot_wishes({name: ft.check_wishes(schemes[name]) for name in schemes})

# %% [markdown]
# A missing property is not always a problem. ALiBi's bias decreases without bound, but the softmax turns it into a weight of zero.
#
# ## Three more schemes
#
# **Learned**: a table with one trained row for each position, as in BERT and GPT-2. Positions beyond its last row have no encoding. The table below is random, because it is not trained, so its dot products do not mean anything yet.

# %%
ft.visualization.plot_scheme(ft.functional.SCHEMES["learned"])

# %% [markdown]
# **Rotary** (RoPE): nothing is added to embeddings. Inside attention, queries and keys are rotated by angles that grow with the position, so the product of two given vectors depends only on the distance of their positions. The left panel shows a rotated vector of ones. In the right panel each diagonal is one distance and has one color.

# %%
ft.visualization.plot_scheme(ft.functional.SCHEMES["rotary"])

# %% [markdown]
# **ALiBi**: nothing is rotated either. A penalty is subtracted from the score of a query and a key. It grows with their distance, faster in some heads than in others. The right panel shows the weights that result from the penalty without any other score.

# %%
ft.visualization.plot_scheme(ft.functional.SCHEMES["alibi"], length=24)

# %%
# The penalty for a distance of one word, head by head.
[float(ft.functional.alibi_slope(head, num_heads=8)) for head in range(8)]

# %% [markdown]
# ## All schemes
#
# Every name here is a value of `--model.positions` on the command line, and of `positions` in a model's config. `flax-transformer positions --out positions.png` draws the same picture.

# %%
ft.visualization.plot_positions()

# %% [markdown]
# Now the model knows the words and their positions. The next notebook shows how one word finds the others: [attention](02_attention.ipynb).
