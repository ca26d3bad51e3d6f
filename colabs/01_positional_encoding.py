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
# # Where does a word stand? Positional encoding
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/flax-transformer/flax_transformer/blob/main/colabs/01_positional_encoding.ipynb)
#
# A Transformer reads all words of a sentence at once. This notebook shows what it knows of a word before it is told where the word stands, why that is not enough, and how sines and cosines tell it.
#
# It runs from top to bottom in under a minute on two CPU cores. Every function comes from the package, so you can use each in a project of your own.

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
# A network computes with vectors, so every word of a vocabulary gets a number, its *token id*. The plainest vector of an id $k$ is *one-hot*: as long as the vocabulary, with a single 1 at place $k$.
#
# One-hot vectors are long, and each is equally far from every other. So they are multiplied by a table $E$ with one row a word, whose numbers are learned:
#
# $$\text{embedding}(k) = \text{one\_hot}(k)\, E$$

# %%
vocabulary = ["<pad>", "the", "avengers", "defeated", "thanos"]
tokens = jnp.array([1, 2, 3, 4])  # the avengers defeated thanos
table = jax.random.normal(jax.random.key(0), (len(vocabulary), 8))

ft.visualization.plot_lookup(tokens, table, vocabulary)

# %% [markdown]
# Multiplying by a one-hot vector picks a row. So nobody multiplies: the row is looked up.

# %%
embedded = ft.functional.embed(tokens, table)
assert jnp.array_equal(embedded, ft.functional.embed_one_hot(tokens, table))
embedded[0], table[1]

# %% [markdown]
# ## Without positions the order is lost
#
# "The Avengers defeated Thanos" and "Thanos defeated the Avengers" have the same words and do not mean the same. Here is an encoder of one layer with random parameters and **no** positions. It reads both sentences; then the words of the second are put in the order of the first.

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
# The difference is zero, but for rounding. Attention adds up what it finds, and a sum does not depend on the order of its terms, whatever the parameters are. So to this encoder a sentence is a bag of words, and no training would tell it who defeated whom.

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
# ## What a recurrent network does instead
#
# A recurrent network reads the words one after the other, and each state depends on the one before:
#
# $$h_t = f(h_{t-1}, x_t)$$
#
# So it needs no positions: what came earlier has passed through $f$ more often.

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
# The price: state $t$ can only be computed when state $t - 1$ is there. JAX shows it. The program of the recurrent network contains a loop over the words (`scan`), that of the encoder none; its words can all be computed at the same time.

# %%
recurrent_program = jax.make_jaxpr(recurrent.apply)(parameters, embedded)
encoder_program = jax.make_jaxpr(lambda x: encoder.apply(variables, x, method="encode"))(sentences)
{"recurrent": "scan" in str(recurrent_program), "encoder": "scan" in str(encoder_program)}

# %% [markdown]
# ## First idea: count
#
# The encoder must be told where each word stands. The obvious way is to add the position's number to the word's embedding. It fails, because the number grows without end while the embedding does not.
#
# Below, all four words are put at position 1, 10 and 1,000, and normalized as every layer of a Transformer does. The library puts the number in column 0. At position 1,000 that column is all that is left: the words have become nearly the same.

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
# Divide by the length of the sentence, so that the first word has 0 and the last one 1. Nothing grows now. But a step no longer means the same: in a sentence of 5 words the next word is 0.25 away, in one of 9 words 0.125. "The word before" has no fixed distance.

# %%
of_five = ft.functional.scaled_positions(jnp.arange(5), jnp.full(5, 5), 1)[:, 0]
of_nine = ft.functional.scaled_positions(jnp.arange(9), jnp.full(9, 9), 1)[:, 0]
of_five.tolist(), of_nine.tolist()

# %% [markdown]
# Both ideas, and the one that comes next, in sentences of 6, 12 and 24 words. The number grows with every word. The scaled position of a word depends on the length of its sentence. The sine does neither.

# %%
names = ("number", "scaled", "sinusoidal")
ft.visualization.plot_by_length({name: ft.functional.SCHEMES[name] for name in names}, [6, 12, 24])

# %% [markdown]
# ## Sines and cosines
#
# One sine stays within $[-1, 1]$, but it comes back: two positions a period apart have the same value. So the paper takes many, from fast to slow, like the hands of a clock:
#
# $$PE(pos, 2i) = \sin\left(\frac{pos}{10000^{2i/d_{model}}}\right) \qquad PE(pos, 2i + 1) = \cos\left(\frac{pos}{10000^{2i/d_{model}}}\right)$$
#
# On the left some columns as waves, in the middle all of them, one row a position.

# %%
encodings = ft.functional.sinusoidal_positions(jnp.arange(64), 128)
ft.visualization.plot_encodings(encodings)

# %% [markdown]
# On the right is the dot product of any two positions, over their distance. All pairs of the same distance lie on one line: the product tells how far two words are apart, and nothing else. It follows from $\sin a \sin b + \cos a \cos b = \cos(a - b)$:
#
# $$PE(p) \cdot PE(p + k) = \sum_i \cos\left(\frac{k}{10000^{2i/d_{model}}}\right)$$

# %%
distance = 7
products = jnp.sum(encodings[:-distance] * encodings[distance:], axis=-1)
frequencies = 10_000.0 ** (-jnp.arange(0, 128, 2) / 128)
assert jnp.allclose(products, jnp.cos(distance * frequencies).sum(), rtol=1e-4)
float(products.min()), float(products.max())

# %% [markdown]
# And a step of $k$ words is the same rotation wherever it begins: each pair of a sine and a cosine turns by a fixed angle. The library's `rotary` turns such pairs. Turned by 7 positions, the encoding of position $p$ becomes that of $p - 7$, for every $p$. So a linear layer can learn "seven words before".

# %%
turned = ft.functional.rotary(encodings[distance:], jnp.full(64 - distance, distance))
assert jnp.allclose(turned, encodings[:-distance], atol=1e-5)

# %% [markdown]
# ## Four wishes
#
# What should a positional scheme give?
#
# 1. a **unique value** for every position,
# 2. a **consistent distance**: two positions are equally far apart in short and in long sentences,
# 3. it **carries on** beyond the longest sentence of the training,
# 4. it is **bounded and deterministic**.
#
# `check_wishes` measures them, and looks at no name. The command `flax-transformer positions` prints the same table.

# %%
schemes = ft.functional.SCHEMES
ft.visualization.plot_wishes({name: ft.check_wishes(schemes[name]) for name in schemes})

# %% [markdown]
# A wish that is not met need not hurt. ALiBi's bias falls without end, and the softmax makes a weight of zero of it.
#
# ## Three more schemes
#
# **Learned**: a table with one trained row a position, as BERT and GPT-2 have. It has no row beyond its last one. Here it is before training, drawn at random, so its dot products tell nothing yet.

# %%
ft.visualization.plot_scheme(ft.functional.SCHEMES["learned"])

# %% [markdown]
# **Rotary** (RoPE): nothing is added to embeddings; inside attention, queries and keys are turned by angles that grow with the position, so that the product of two given vectors depends on their distance alone. On the left a vector of ones, turned; on the right each diagonal, which is one distance, has one color.

# %%
ft.visualization.plot_scheme(ft.functional.SCHEMES["rotary"])

# %% [markdown]
# **ALiBi**: nothing is turned either; from the score of a query and a key a penalty is taken that grows with their distance, faster in some heads and slower in others. On the right, the weights that this alone gives.

# %%
ft.visualization.plot_scheme(ft.functional.SCHEMES["alibi"], length=24)

# %%
# The penalty of one word of distance, head by head.
[float(ft.functional.alibi_slope(head, num_heads=8)) for head in range(8)]

# %% [markdown]
# ## All of them
#
# Every name here is a value of `--model.positions` on the command line, and of `positions` in a model's config. `flax-transformer positions --out positions.png` draws the same picture.

# %%
ft.visualization.plot_positions()

# %% [markdown]
# Now the model knows which words there are and where. How one word finds the others is the next notebook: [attention](02_attention.ipynb).
