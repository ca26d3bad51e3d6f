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
# # Attention: how one word finds another
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/flax-transformer/flax_transformer/blob/main/colabs/02_attention.ipynb)
#
# "The animal didn't cross the street because it was too tired." What is "it"? This notebook computes attention on this sentence first by hand, number by number, and then with the package. Both give the same result.
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
# ## Words as readable vectors
#
# A trained model learns its own vectors, and their features are hard to interpret. We write small vectors by hand, so that we can follow each number. The four features are: the word is a thing, it is alive, it is a pronoun, it is a feeling.

# %%
text = "The animal didn't cross the street because it was too tired"
sentence = text.split()
names = ["thing", "alive", "pronoun", "feeling"]
features = np.zeros((len(sentence), len(names)), np.float32)
features[sentence.index("animal")] = [1, 1, 0, 0]
features[sentence.index("street")] = [1, 0, 0, 0]
features[sentence.index("it")] = [0, 0, 1, 0]
features[sentence.index("tired")] = [0, 0, 0, 1]
features = jnp.asarray(features)

figure = ft.visualization.plot_matrices({"words, by hand": features}, sentence, names)
figure.axes[0].set(xlabel="feature", ylabel="word")
figure

# %% [markdown]
# ## Query, key and value
#
# Three matrices make three vectors of each word $x$:
#
# $$q = x W_Q \qquad k = x W_K \qquad v = x W_V$$
#
# The **query** is what a word looks for, the **key** is what it offers, and the **value** is what it passes on. In a model the matrices are learned. Here we choose them: a pronoun looks for a living thing, each word offers its features "thing" and "alive", and each word passes on all its features.

# %%
query_matrix = jnp.zeros((4, 2)).at[2].set(3.0)  # a pronoun looks for: thing, alive
key_matrix = jnp.eye(4, 2)  # offered: thing, alive
value_matrix = jnp.eye(4)  # passed on: all four features

query, key, value = features @ query_matrix, features @ key_matrix, features @ value_matrix
ft.visualization.plot_matrices({"query": query, "key": key, "value": value}, sentence)

# %% [markdown]
# ## One word by hand
#
# Take "it". Its **score** for a word is the dot product of its query and that word's key: 6 for "animal", 3 for "street", 0 for all others.

# %%
it = sentence.index("it")
scores = key @ query[it]
dict(zip(sentence, scores.tolist(), strict=True))

# %% [markdown]
# The scores are divided by $\sqrt{d_k}$, the square root of the width of a key (the reason is below). The **softmax** turns them into weights, which are positive and sum to 1:
#
# $$w_j = \frac{\exp(s_j)}{\sum_k \exp(s_k)}$$

# %%
scaled = scores / jnp.sqrt(key.shape[-1])
weights = jnp.exp(scaled) / jnp.exp(scaled).sum()
dict(zip(sentence, np.asarray(weights, float).round(3).tolist(), strict=True))

# %% [markdown]
# The output is the sum of all values, each times its weight. The input of "it" had only the feature "pronoun". Its output has the features of the words that it found: "thing" and "alive".

# %%
output = weights @ value
dict(zip(names, np.asarray(output, float).round(3).tolist(), strict=True))

# %% [markdown]
# ## The same with the package
#
# `attend` does it for all words at once:
#
# $$\text{Attention}(Q, K, V) = \text{softmax}\left(\frac{Q K^T}{\sqrt{d_k}}\right) V$$

# %%
attended, all_weights = ft.functional.attend(query, key, value, return_weights=True)
np.testing.assert_allclose(all_weights[it], weights, rtol=1e-5)
np.testing.assert_allclose(attended[it], output, rtol=1e-5)

ft.visualization.plot_attention_steps(query, key, value, sentence)

# %% [markdown]
# All words except "it" have a query of zeros here, so all their scores are zero, and each attends equally to all words.
#
# Note: this head was *built* to link "it" with "animal". It would do the same if the sentence ended in "too wide", where "it" is the street. To distinguish the two, the query of "it" must already contain "tired" or "wide", and an earlier layer has to provide that. This is one reason why models have several layers.

# %%
# Another last word changes only its own value, not the weights of "it".
ends_in_wide = features.at[-1].set(0.0)
_, weights_wide = ft.functional.attend(
    ends_in_wide @ query_matrix, ends_in_wide @ key_matrix, ends_in_wide, return_weights=True
)
np.testing.assert_array_equal(weights_wide[it], all_weights[it])

# %% [markdown]
# ## Why the division by $\sqrt{d_k}$?
#
# If the numbers of a query and a key are independent, with mean 0 and variance 1, their dot product is a sum of $d_k$ terms and has variance $d_k$. So wide heads would have large scores:

# %%
queries, keys = jax.random.normal(jax.random.key(0), (2, 10_000, 64))
products = (queries * keys).sum(axis=-1)
{"variance": float(products.var()), "after the division": float((products / 8).var())}

# %% [markdown]
# A softmax of large scores *saturates*: one key gets nearly all the weight. Then the derivatives of the weights with respect to the scores approach zero, and training makes little progress. The picture shows both effects, for random queries and 16 keys.

# %%
ft.visualization.plot_saturation()

# %% [markdown]
# ## Masks: which words may attend to which
#
# A mask is True where a query may attend to a key. Masked scores are left out of the softmax, so their weights are exactly zero.
#
# The **causal** mask hides later words. A model that writes one word after another needs it: during training, it must not see the words that it has to predict.

# %%
ft.visualization.plot_mask(ft.functional.causal_mask(len(sentence)), sentence)

# %%
vectors = jax.random.normal(jax.random.key(1), (len(sentence), 8))
ft.visualization.plot_attention_steps(
    vectors, vectors, vectors, sentence, ft.functional.causal_mask(len(sentence))
)

# %% [markdown]
# A check: with the causal mask, another last word changes only the last output.

# %%
changed = vectors.at[-1].set(7.0)
mask = ft.functional.causal_mask(len(sentence))
before, after = (
    ft.functional.attend(vectors, vectors, vectors, mask=mask),
    ft.functional.attend(changed, changed, changed, mask=mask),
)
np.testing.assert_array_equal(before[:-1], after[:-1])
float(jnp.abs(before[-1] - after[-1]).max())

# %% [markdown]
# The **padding** mask hides the zeros that fill a short sentence up to the length of its batch. Masks combine by "and".

# %%
tokens = jnp.array([5, 6, 7, 2, 0, 0])  # two places of padding
segments = ft.functional.token_segments(tokens, 0)  # 1 at a token, 0 at padding
padded = ["we", "are", "here", "</s>", "<pad>", "<pad>"]
mask = ft.functional.combine_masks(
    ft.functional.padding_mask(segments), ft.functional.causal_mask(len(tokens))
)
ft.visualization.plot_mask(mask, padded)

# %%
words = jax.random.normal(jax.random.key(2), (len(tokens), 8))
_, masked_weights = ft.functional.attend(words, words, words, mask=mask, return_weights=True)
assert not masked_weights[~mask].any()
ft.visualization.plot_attention(masked_weights[None], padded)

# %% [markdown]
# ## Many heads
#
# One softmax gives each word one set of weights. So attention is computed several times in parallel. Each *head* has its own queries, keys and values, and the outputs of all heads are concatenated:
#
# $$\text{MultiHead} = \text{concat}(\text{head}_1, \ldots, \text{head}_h) W_O$$
#
# `multi_head_attend` is `attend`, mapped over the heads and the batch by `jax.vmap`. Here are three heads with random vectors.

# %%
query, key, value = jax.random.normal(jax.random.key(3), (3, 1, len(sentence), 3, 8))
outputs, head_weights = ft.functional.multi_head_attend(query, key, value, return_weights=True)
by_hand = jnp.stack(
    [
        ft.functional.attend(query[0, :, head], key[0, :, head], value[0, :, head])
        for head in range(3)
    ],
    axis=1,
)
np.testing.assert_allclose(outputs[0], by_hand, atol=1e-6)

ft.visualization.plot_attention(head_weights[0], sentence)

# %% [markdown]
# ## Look at it yourself
#
# `view_attention` makes an interactive page for notebooks and browsers: point at a word, choose layers and heads, and view lines, a matrix, or all heads at once. It works offline, and `view.save("attention.html")` saves it.
#
# This is the head that we built, as one layer with one head.

# %%
ft.view_attention(all_weights[None, None], sentence, title="a head made by hand")

# %% [markdown]
# ## Trained and untrained models
#
# A head that links "it" with "animal" was found in a large model, trained on millions of sentence pairs (Uszkoreit 2017, "Transformer: A Novel Neural Network Architecture for Language Understanding"). This package does not include such weights, so this notebook does not show it. In a model that trains in a minute, such a link would be a coincidence.
#
# Here is an **untrained** model: two layers of four heads with random parameters. Some lines are strong, but none has a meaning.

# %%
config = ft.EncoderDecoderConfig(
    d_model=64, d_ff=128, num_heads=4, num_encoder_layers=2, num_decoder_layers=1
)
model = ft.models.EncoderDecoder(config, vocab_size=16)
source, target = jnp.arange(1, 1 + len(sentence))[None], jnp.array([[1]])
draw = jax.jit(lambda seed: model.init(jax.random.key(seed), source, target))
sides = (source, target)
read = jax.jit(lambda variables: ft.inspection.attention_weights(model, variables, sides))
untrained = read(draw(0))["encoder"][:, 0]

ft.view_attention(untrained, sentence, title="an untrained model: the lines have no meaning")

# %% [markdown]
# With other random parameters, "it" attends to other words. The list shows the word with the largest weight in the first head of the first layer, for eight seeds. If one of them is "animal", it is a coincidence.

# %%
[sentence[int(read(draw(seed))["encoder"][0, 0, 0, it].argmax())] for seed in range(8)]

# %% [markdown]
# The same call shows your own weights, from any library. They are an array [layers, heads, queries, keys] of one example, with one string for each token:
#
# ```python
# ft.view_attention(weights, tokens)                        # self-attention
# ft.view_attention(weights, source_tokens, target_tokens)  # cross-attention
# ```
#
# For a model of this package, `attention_weights` gives encoder, decoder and cross-attention, as above. For a model of Hugging Face's transformers:
#
# ```python
# model = AutoModel.from_pretrained(name, attn_implementation="eager")  # others return no weights
# with torch.no_grad():
#     attentions = model(**inputs, output_attentions=True).attentions
# ft.view_attention(torch.stack(attentions)[:, 0], tokens)
# ```
#
# The notebook on [your own project](06_use_in_your_project.ipynb) shows trained heads, which learn within seconds to read a sequence backwards.
#
# Next: [build a Transformer](03_build_a_transformer.ipynb) from attention and a few more parts.
