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

# %% [markdown]
# ## Letters that repeat
#
# Each row has random letters, then the same letters again, until the row is full. The length of the repeated part, the *period*, is between 12 and 24 and differs from row to row. So "the letter 15 places before" is no answer: a model has to find the place by what is there.

# %%
letters = "abcdefghijklmnopqrstuvwxyzäöüßéè"
tests = ft.inspection.repeated_tokens(jax.random.key(1), 64, 48, (12, 24), len(letters))
["".join(letters[token] for token in row) for row in tests.tokens[:3].tolist()]

# %% [markdown]
# Nothing predicts a new letter: its loss cannot be below $\ln 32 = 3.47$, except by luck. A repeated letter can be predicted by copying, so its loss can fall to almost 0.
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
draw = lambda rng: ft.inspection.repeated_tokens(rng, 64, 48, (12, 24), len(letters)).tokens
batches = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 300))

optimizer = optax.adam(optax.linear_schedule(0.0, 5e-3, 30))
train = ft.training.train_on_tokens
of_one = train(one, optimizer, batches, jax.random.key(0), keep_every=10)
of_two = train(two, optimizer, batches, jax.random.key(0), keep_every=10)
batches.shape  # steps, rows, length

# %% [markdown]
# ## A sudden fall
#
# The picture shows the loss of repeated letters, in rows that are not in the training. The model of one layer learns only which letters are in the row. The model of two layers first learns the same. Then its loss falls to a quarter within some 60 steps.

# %%
measure = lambda model: lambda variables: ft.inspection.repeat_losses(model, variables, tests)
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
# - **Induction**: the mean weight of the places *after* earlier places with the same letter, $\sum_k w_{qk}\,[t_{k-1} = t_q]$. What followed the letter before may follow it again.

# %%
attend = lambda variables: ft.inspection.attention_weights(two, variables, tests.tokens)
rows_first = lambda weights: jnp.swapaxes(weights["decoder"], 0, 1)
weights = jax.jit(jax.vmap(lambda variables: rows_first(attend(variables))))(of_two.variables)
# kept, rows, layers, heads, queries, keys

previous = jax.vmap(jax.vmap(ft.inspection.previous_token_score))(weights).mean(axis=1)
induction = jax.vmap(jax.vmap(ft.inspection.induction_score), (0, None))(weights, tests.tokens)
induction = induction.mean(axis=1)
ft.visualization.plot_matrices(
    {"previous token": previous[-1], "induction": induction[-1]}, ["layer 0", "layer 1"], "head"
)

# %% [markdown]
# Heads 2 and 3 of layer 1 are *induction heads*: more than a third of their attention is at the right places, of up to 47. No head of layer 0 has this score. Head 0 of layer 0 looks at the letter before more than the others of its layer do, as ALiBi made it.

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
# This is the attention of layer 1 for a row with a period of 12 letters. In the second half, heads 2 and 3 look 11 places back: at the letter that comes next. Elsewhere they have nothing to find.

# %%
row = ft.inspection.repeated_tokens(jax.random.key(4), 1, 24, (12, 12), len(letters)).tokens
last = jax.tree.map(lambda kept: kept[-1], of_two.variables)
of_row = jax.jit(lambda last: ft.inspection.attention_weights(two, last, row)["decoder"][:, 0])(last)
names = [letters[token] for token in row[0].tolist()]
ft.visualization.plot_attention(of_row[1], names)

# %% [markdown]
# The page shows both layers. Choose layer 2 and a letter of the second half:

# %%
ft.view_attention({"decoder": of_row}, names, names, title="letters that repeat")

# %% [markdown]
# ## Without a head
#
# A score shows where a head looks, not whether the model needs it. So each head is taken away: its output is replaced by zeros. The picture shows how much the loss of repeated letters rises.

# %%
without = lambda name, heads, last: ft.inspection.repeat_losses(
    two, ft.inspection.patched(two, last, row, {name: ft.inspection.At(0.0, heads=heads)}), tests
)[1]
without = jax.jit(jax.vmap(without, (None, 0, None)), static_argnums=0)
each = jnp.arange(4)
ablated = [without(f"decoder.{layer}.self_attention.heads", each, last) for layer in range(2)]
ablated = jnp.stack(ablated)
ft.visualization.plot_ablation(
    {"decoder.self_attention": ablated - repeated_two[-1]}, "loss of repeated letters"
)
