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
# # Inside a translator: which part swaps the words?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/flax-transformer/flax_transformer/blob/main/colabs/07_inside_a_translator.ipynb)
#
# "twenty-three" is *dreiundzwanzig* in German, three-and-twenty. A translator has to write the last word first. This notebook trains a small translator and asks four questions about this swap. Where does the model look? After which layer does it know the answer? Which activations carry it? And which heads can it do without?
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
import tempfile

import jax
import numpy as np

import flax_transformer as ft

folder = tempfile.mkdtemp()  # for all files of this notebook

# %% [markdown]
# ## A translator
#
# The experiment is that of [04_train_a_translator](04_train_a_translator.ipynb), where each part is explained. The model has two layers on each side, with four heads each.

# %%
experiment = ft.Experiment(
    data=ft.ParallelTextConfig(
        dataset="number_words",
        vocab_size=400,
        max_length=64,
        tokens_per_batch=2048,
        num_buckets=1,
        validation_split="validation[:100]",
        test_split="test[:100]",
        data_dir=f"{folder}/data",
    ),
    model=ft.EncoderDecoderConfig(
        num_encoder_layers=2,
        num_decoder_layers=2,
        d_model=128,
        d_ff=256,
        num_heads=4,
        norm_placement="pre",
        residual_dropout_rate=0.0,
    ),
    optimizer=ft.OptimizerConfig(
        schedule="cosine", learning_rate=3e-3, warmup_steps=50, clip_norm=1.0
    ),
    training=ft.TrainingConfig(
        num_steps=120,
        evaluate_every_steps=120,
        checkpoint_every_steps=120,
        keep_checkpoints=1,
        best_score="exact_match",
        log_every_steps=20,
    ),
    decoding=ft.DecodingConfig(max_extra_length=32),
)
ft.train(experiment, f"{folder}/number_words")

# %% [markdown]
# `open_run` returns the task, which has the model, and the trained variables. We test 72 numbers that differ only in their last two words.

# %%
run = ft.training.open_run(f"{folder}/number_words")
task, model, variables = run.task, run.task.model, run.variables

tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
units = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
zehner = ["zwanzig", "dreißig", "vierzig", "fünfzig", "sechzig", "siebzig", "achtzig", "neunzig"]
einer = ["ein", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"]
english = [f"six thousand, two hundred and {ten}-{unit}" for ten in tens for unit in units]
german = [f"sechstausendzweihundert{unit}und{ten}" for ten in zehner for unit in einer]

share_right = lambda found: float(np.mean(np.array(found) == np.array(german)))
translator = task.predictor(variables)
translations = translator.translate(english)
assert share_right(translations) > 0.9
{"right": share_right(translations), english[2]: translations[2]}

# %% [markdown]
# ## Where does it look?
#
# This is the attention of the decoder's last layer to the source. Each row is a token that the decoder has read. There it looks for what it needs to write the *next* token: at *zweihundert* it looks at "three" and writes *drei*, then it looks back towards "twenty" and writes *undzwanzig*.

# %%
text, target = english[2], german[2]
found = translator.attend(text, target)
cross = found["weights"]["cross"]  # layers, heads, queries, keys
ft.visualization.plot_attention(cross[-1], found["tokens"], found["target_tokens"])

# %% [markdown]
# `word_attention` adds the weights of a word's tokens and leaves out marks, here also the comma, "and" and the hyphen. Each German word is linked to the English word with the largest mean weight of the heads. When this was written, one link was wrong: to write *tausend*, the heads look mostly at the comma after "thousand". The *alignment error rate* compares these links with the right ones: with the links $A$ that were found, the sure links $S$ and the possible links $P$, which contain $S$,
#
# $$\text{AER} = 1 - \frac{|A \cap S| + |A \cap P|}{|A| + |S|}$$

# %%
written = ["sechs", "tausend", "zweihundert", "drei", "undzwanzig"]
assert found["target_tokens"] == ["<s>", *written]
words = ["six", "thousand", "two", "hundred", "twenty", "three"]
numbers_written = np.array([0, 1, 2, 3, 4, -1])  # of the word that each row writes; -1: a mark
numbers_read = np.array([0, 1, -1, 2, 3, -1, 4, -1, 5, -1])
by_word = ft.inspection.word_attention(cross[-1].mean(axis=0), numbers_written, numbers_read)
ft.visualization.plot_matrices({"cross-attention, mean of the heads": by_word}, written, words)

# %%
links = set(enumerate(by_word.argmax(axis=1).tolist()))
sure, possible = {(0, 0), (1, 1), (3, 5), (4, 4)}, {(2, 2), (2, 3)}
assert (3, 5) in links
{
    "links": [f"{written[row]} - {words[column]}" for row, column in sorted(links)],
    "alignment error rate": ft.inspection.alignment_error_rate(links, sure, possible),
}

# %% [markdown]
# Is this so for all 72 numbers? Where it writes the unit, the model looks most at the unit in nearly all of them. Where it writes the tens, this is less clear: the encoder may have put what is needed at a neighbor, such as the hyphen.

# %%
rows = [translator.given(*pair) for pair in zip(english, german, strict=True)]
inputs = jax.tree.map(lambda *arrays: np.concatenate(arrays), *rows)  # all have one length
attend = jax.jit(lambda variables: ft.inspection.attention_weights(model, variables, inputs))
seen = attend(variables)["cross"][-1].mean(axis=1).argmax(axis=-1)  # numbers, target tokens
at_unit, at_tens = np.mean(seen[:, 3] == 8), np.mean(seen[:, 4] == 6)
assert at_unit > 0.8
{"looks at the unit": float(at_unit), "looks at the tens": float(at_tens)}

# %% [markdown]
# ## When does it know?
#
# The *logit lens* sends what is in the decoder after each layer directly to the output. So it shows what the model would write if that layer were the last one. The picture shows the probability of the right token.

# %%
clean = translator.given(text, target)
lens = jax.jit(lambda variables: ft.inspection.logit_lens(model, variables, clean))
logits = lens(variables)[:, 0]  # layers, positions, vocabulary
right = np.append(clean["target"][0, 1:], translator.tokenizer.eos_id)
probabilities = np.asarray(jax.nn.softmax(logits))[:, np.arange(len(right)), right]
ft.visualization.plot_matrices(
    {"probability of the right token": probabilities}, ["layer 0", "layer 1"], [*written, "</s>"]
)

# %%
names = [translator.tokenizer.names(layer) for layer in np.asarray(logits.argmax(axis=-1)).tolist()]
assert names[1] == [*written, "</s>"]
assert names[0] != names[1]
assert probabilities[1].mean() - probabilities[0].mean() > 0.1
{"after layer 0": names[0], "after layer 1": names[1]}

# %% [markdown]
# After layer 0 some words are wrong, but all are plausible number words. Layer 1 corrects them. A probability of about 0.9 is the most that this model gives, as label smoothing trains it to leave a tenth to other tokens.
#
# ## What carries the unit?
#
# Attention shows where a head looks, not what comes of it. *Causal tracing* changes the computation. The model reads "... twenty-seven", but one activation comes from reading "... twenty-three". If this activation makes *drei* probable again, then it carries the unit. With the log-probability of the German number for "three",
#
# $$\text{share} = \frac{\log p(\text{patched}) - \log p(\text{seven})}{\log p(\text{three}) - \log p(\text{seven})}$$
#
# A share of 1 means that everything is carried, 0 nothing.

# %%
other = translator.given(english[6], target)
log_prob = ft.tasks.output_log_prob(task, variables, clean)
traced = ft.tasks.trace(task, variables, clean, other, log_prob)
shares, layers = traced.shares, ["layer 0", "layer 1"]
ft.visualization.plot_matrices({"encoder": shares["encoder"]}, layers, found["tokens"])

# %%
ft.visualization.plot_matrices({"decoder": shares["decoder"]}, layers, found["target_tokens"])

# %% [markdown]
# In the encoder the position of "three" is enough, and no other one is. In the decoder it is *zweihundert*, where *drei* is written. So the unit goes from the last source token to the middle of the target in one step. Only cross-attention can do this. The next picture traces single heads:

# %%
of_heads = {name: share for name, share in shares.items() if "attention" in name}
ft.visualization.plot_matrices(of_heads, layers, "head")

# %%
heads = shares["decoder.cross_attention"]
assert shares["encoder"][:, 8].min() > 0.8 > 0.4 > np.delete(shares["encoder"], 8, axis=1).max()
assert shares["decoder"][1, 3] > 0.8 > 0.4 > np.delete(shares["decoder"], 3, axis=1).max()
assert heads[1].max() > heads[0].max()
assert shares["decoder.self_attention"].max() < 0.2
heads.round(2).tolist()

# %% [markdown]
# The strongest head is in the cross-attention of layer 1, but it is not the only one: several heads carry a part of the unit. Their shares do not add up to 1, as the layers after them are not linear.
#
# ## What can it do without?
#
# The last question is the opposite: not what is enough, but what is needed. `Ablation` measures the loss on the test split without each head and each feed-forward network. What is left out is replaced by zeros.

# %%
ablation = ft.tasks.Ablation(task, variables, "test[:100]")
whole = ablation.scores()["loss"]
effects = {part: ablation.without(part)["loss"] - whole for part in ablation.parts()}
grids = ft.tasks.by_kind(effects)
ft.visualization.plot_ablation(grids)

# %% [markdown]
# For the loss, other parts matter more than any single head that the trace found: without one of them, the others still do the work. We translate the 72 numbers without each head of the last cross-attention, and without all four:

# %%
name = "decoder.1.cross_attention.heads"
patch = lambda heads: {name: ft.inspection.At(0.0, heads=heads)}
changed = lambda heads: ft.inspection.patched(model, variables, clean, patch(heads))
without = lambda *heads: task.predictor(changed(np.array(heads))).translate(english)
single = [share_right(without(head)) for head in range(4)]
without_all = without(0, 1, 2, 3)
assert min(single) > 0.6
assert share_right(without_all) < 0.3
assert grids["decoder.cross_attention"][1].max() < max(effects.values())
{"without one": single, "without all": share_right(without_all), english[2]: without_all[2]}

# %% [markdown]
# So no single head carries the swap: each head of the last cross-attention can be replaced by the other three. Without all four, layer 1 reads nothing of the source, and other words are wrong too. A picture of one head that looks at the right word would not have shown this.
#
# These answers are about this model. Another seed gives heads with other numbers, and a model that is trained longer divides the work in another way.
#
# ## The same from the command line
#
# ```
# flax-transformer lens --workdir runs/number_words "twenty-three"
# flax-transformer trace --workdir runs/number_words "twenty-three" --corrupt "twenty-seven"
# flax-transformer ablate --workdir runs/number_words --out ablation.png
# ```
#
# Next: a model whose heads can be understood completely, [induction heads](08_induction_heads.ipynb).
