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
# # Induction heads: how two layers learn to copy
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/flax-transformer/flax_transformer/blob/main/colabs/08_induction_heads.ipynb)
#
# A language model that has read "... Harry Potter ... Harry" continues with "Potter", although no training text may contain this name. Which part of the model does this? This notebook trains a model of one layer and a model of two layers on random letters that repeat. Only the second learns to copy, and it learns it suddenly. Two of its heads do it, with the help of a third.
#
# It runs from top to bottom in about a minute on two CPU cores.

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
import optax

import flax_transformer as ft

look = ft.inspection

# %% [markdown]
# ## Letters that repeat
#
# Each row has random letters, then the same letters again, until the row is full. The length of the repeated part, the *period*, is between 12 and 24 and differs from row to row. So a fixed distance, such as 15 letters, does not help: a model has to find the place by the letters.

# %%
letters = "abcdefghijklmnopqrstuvwxyzäöüßéè"
tests = look.repeated_tokens(jax.random.key(1), 64, 48, (12, 24), len(letters))
["".join(letters[token] for token in row) for row in tests.tokens[:3].tolist()]

# %% [markdown]
# Nothing predicts a new letter: its loss cannot be below $\ln 32 = 3.47$, except by luck. A repeated letter can be predicted by copying, so its loss can fall far below this. Only the first letters of a repeat have to be guessed.
#
# ## Two models
#
# Both are decoder-only models with four heads a layer. They differ in the number of layers. ALiBi gives the positions: each head prefers near letters, the first head strongly, the last one hardly (see [positional encoding](01_positional_encoding.ipynb)).

# %%
sizes = {"d_model": 64, "d_ff": 64, "num_heads": 4, "positions": "alibi"}
rates = {"residual_dropout_rate": 0.0, "attention_dropout_rate": 0.0}
one = ft.DecoderOnlyConfig(num_layers=1, **sizes, **rates).build(vocab_size=len(letters))
two = ft.DecoderOnlyConfig(num_layers=2, **sizes, **rates).build(vocab_size=len(letters))

# %% [markdown]
# Each of 300 steps has 64 new rows, so a model cannot learn them by heart. `train_on_tokens` trains in one compiled loop and keeps the parameters of every tenth step.

# %%
draw = lambda rng: look.repeated_tokens(rng, 64, 48, (12, 24), 32).tokens
batches = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 300))

optimizer = optax.adam(optax.linear_schedule(0.0, 5e-3, 30))
train = ft.training.train_on_tokens
of_one = train(one, optimizer, batches, jax.random.key(0), keep_every=10)
of_two = train(two, optimizer, batches, jax.random.key(0), keep_every=10)
batches.shape  # steps, rows, length

# %% [markdown]
# ## A sudden fall
#
# The picture shows the loss of repeated letters, in rows that are not in the training. The model of one layer learns only which letters are in the row. The model of two layers first learns the same. Then its loss falls suddenly: when this was written, from 2.8 to 1.2 within 60 steps.

# %%
measure = lambda model: lambda variables: look.repeat_losses(model, variables, tests)
new_one, repeated_one = jax.jit(jax.vmap(measure(one)))(of_one.variables)
new_two, repeated_two = jax.jit(jax.vmap(measure(two)))(of_two.variables)

steps = jnp.arange(10, 301, 10)
ft.visualization.plot_lines(
    {
        "one layer": jnp.stack([steps, repeated_one], axis=1),
        "two layers": jnp.stack([steps, repeated_two], axis=1),
    },
    "loss of repeated letters, nats",
)

# %%
assert repeated_one.min() > 2.5
assert repeated_two[5] > 2.5  # after 60 steps
assert repeated_two[-1] < 1.2
assert min(new_one.min(), new_two.min()) > 3.4  # new letters stay unpredictable
{"one layer": float(repeated_one[-1]), "two layers": float(repeated_two[-1])}

# %% [markdown]
# ## What the heads look at
#
# Two scores describe a head. Let $w_{qk}$ be its attention weights and $t_q$ the letter at place $q$.
#
# - **Previous token**: the mean weight of the place before, $w_{q,\,q-1}$.
# - **Induction**: the mean weight of the places *after* earlier places with the same letter, $\sum_k w_{qk}\,[t_{k-1} = t_q]$. What followed the letter before may follow it again. The mean is over letters that the row had before.

# %%
attend = lambda variables: look.attention_weights(two, variables, tests.tokens)
rows_first = lambda weights: jnp.swapaxes(weights["decoder"], 0, 1)
weights = jax.jit(jax.vmap(lambda variables: rows_first(attend(variables))))(of_two.variables)
# kept, rows, layers, heads, queries, keys

previous = jax.vmap(jax.vmap(look.previous_token_score))(weights).mean(axis=1)
induction = jax.vmap(jax.vmap(look.induction_score), (0, None))(weights, tests.tokens)
induction = induction.mean(axis=1)
ft.visualization.plot_matrices(
    {"previous token": previous[-1], "induction": induction[-1]}, ["layer 0", "layer 1"], "head"
)

# %% [markdown]
# Heads 2 and 3 of layer 1 are *induction heads*: more than a third of their attention goes to the right places. No head of layer 0 has this score. Head 0 of layer 0 looks at the letter before more than the others of its layer do, as ALiBi made it.

# %%
assert induction[-1, 1, 2:].min() > 0.35
assert induction[-1, 0].max() < 0.2
assert previous[-1, 0].argmax() == 0
induction[-1].round(2).tolist()

# %% [markdown]
# The heads appear when the loss falls. Olsson et al. (2022) saw the same in language models of all sizes, and call it a *phase change*.

# %%
ft.visualization.plot_lines(
    {f"head {head}": jnp.stack([steps, induction[:, 1, head]], axis=1) for head in range(4)},
    "induction score of the heads of layer 1",
)

# %%
together = jnp.corrcoef(induction[:, 1].max(axis=1), repeated_two)[0, 1]
assert together < -0.9
float(together)

# %% [markdown]
# ## A word that it has never read
#
# All letters of "copyrightable" differ, and the model has never read this word. It reads the word twice and predicts the next letter at each place. In the first half it guesses. In the second half it copies, after a letter or two:

# %%
last = jax.tree.map(lambda kept: kept[-1], of_two.variables)
text = "copyrightablecopyrightable"
word = jnp.array([[letters.index(letter) for letter in text]])
predicted = jax.jit(two.apply)(last, word)[0].argmax(axis=-1)
right = predicted[:-1] == word[0, 1:]
assert right[:12].sum() <= 3
assert right[13:].sum() >= 7
{"read": text[:-1], "predicted next": "".join(letters[token] for token in predicted[:-1].tolist())}

# %% [markdown]
# This is the attention of both induction heads; each row is a letter that was read. At the second "r" they look at the first "i", at the second "h" at the first "t", and so on. In the first half, before anything repeats, they look at the letter itself.

# %%
of_word = jax.jit(lambda last: look.attention_weights(two, last, word)["decoder"][:, 0])
shown = of_word(last)  # layers, heads, queries, keys
ft.visualization.plot_matrices(
    {"head 2": shown[1, 2], "head 3": shown[1, 3]}, list(text), list(text)
)

# %%
next_letters = jnp.diagonal(shown[1, 2:], offset=-12, axis1=-2, axis2=-1)[:, 3:]
assert next_letters.mean(axis=1).min() > 0.3
next_letters.mean(axis=1).tolist()

# %% [markdown]
# The page shows both layers. Choose the last layer and point at a letter of the second half:

# %%
ft.view_attention({"decoder": shown}, list(text), list(text), title="copyrightable, twice")

# %% [markdown]
# ## Without a head
#
# A score shows where a head looks, not whether the model needs it. So each head is taken away: its output is replaced by zeros. The picture shows how much the loss of repeated letters rises.

# %%
heads_of = [f"decoder.{layer}.self_attention.heads" for layer in range(2)]
patch = lambda layer, heads: {heads_of[layer]: look.At(0.0, heads=heads)}
changed = lambda last, *part: look.patched(two, last, word, patch(*part))
without = lambda last, *part: look.repeat_losses(two, changed(last, *part), tests)[1]
of_layer = jax.jit(jax.vmap(without, (None, None, 0)), static_argnums=1)

single = jnp.stack([of_layer(last, layer, jnp.arange(4)) for layer in range(2)])
rise = single - repeated_two[-1]
ft.visualization.plot_ablation({"decoder.self_attention": rise}, "loss of repeated letters")

# %% [markdown]
# Without head 0 of layer 0, or without both induction heads, the model is worse than the model of one layer: its other parts expect what these heads write, and are now confidently wrong. One induction head can partly replace the other. Without any one of the five remaining heads, the model still copies better than one layer does.

# %%
both = of_layer(last, 1, jnp.array([[2, 3]]))[0]
others = jnp.append(single[0, 1:], single[1, :2])
assert both > repeated_one[-1]
assert single[0, 0] > repeated_one[-1] > others.max()
{"without both": float(both), "without head 0 of layer 0": float(single[0, 0])}

# %% [markdown]
# ## Why two layers
#
# An induction head looks for a place that comes *after* the letter it has just read. But in the first layer a place knows only its own letter. Another head must first write there which letter came before: the head of layer 0 that looks at the letter before. The induction head then compares this with its own letter. Elhage et al. (2021) call this *composition*: the keys of one head are made from the output of another. A model of one layer cannot do it.
#
# If this is true, then the induction heads cannot find their places without head 0 of layer 0, although they themselves are unchanged:

# %%
name = "decoder.1.self_attention.weights"
read = lambda last: look.activations(two, last, tests.tokens, name, patch=patch(0, 0))
blind = jax.jit(read)(last)[name]
scores = jax.vmap(look.induction_score)(blind, tests.tokens).mean(axis=0)
assert scores[2:].max() < induction[-1, 1, 2:].min() / 2
{"with head 0": induction[-1, 1, 2:].tolist(), "without": scores[2:].tolist()}

# %% [markdown]
# Real language models have induction heads too. They find not only the same token but also a similar one, and do more than copy: Olsson et al. argue that they are the main source of *in-context learning*. The same calls work with every decoder-only model, such as one of `ft.from_pretrained`.
#
# - Elhage et al. 2021, [A Mathematical Framework for Transformer Circuits](https://transformer-circuits.pub/2021/framework/index.html)
# - Olsson et al. 2022, [In-context Learning and Induction Heads](https://transformer-circuits.pub/2022/in-context-learning-and-induction-heads/index.html)
