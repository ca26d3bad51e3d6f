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
# # Train a translator
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/flax-transformer/flax_transformer/blob/main/colabs/04_train_a_translator.ipynb)
#
# This notebook trains an encoder-decoder to translate English numbers into German and evaluates it. It shows the beam search and the attention of the model. Then it trains another translator on two text files, as you would on your own.
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
from pathlib import Path

import jax

import flax_transformer as ft

folder = Path(tempfile.mkdtemp())  # for all files of this notebook

# %% [markdown]
# ## The data
#
# The data are numbers in words: 20,000 for training, and others for evaluation. The package generates them. It is a small but real task: German puts the units before the tens. "twenty-three" is *dreiundzwanzig*, three-and-twenty, so the model has to learn to swap the order.

# %%
data = ft.ParallelTextConfig(
    dataset="number_words",
    vocab_size=400,
    max_length=64,
    tokens_per_batch=2048,
    num_buckets=1,
    validation_split="validation[:200]",
    test_split="test[:200]",
    data_dir=str(folder / "data"),
)
ft.open_split(data, "train").first(3)

# %% [markdown]
# ## The experiment
#
# An experiment defines everything: the data, the model, the training, and the search for translations. It is plain data, and every field is documented (`help(ft.ParallelTextConfig)`). Sentences are split into subwords of a vocabulary of 400, so many subwords are whole number words. A batch has at most 2,048 target tokens. All batches have the same shape here (`num_buckets=1`), so XLA compiles the training step only once.

# %%
experiment = ft.Experiment(
    data=data,
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
        num_steps=100,
        evaluate_every_steps=50,
        checkpoint_every_steps=50,
        keep_checkpoints=1,
        best_score="exact_match",
        log_every_steps=10,
    ),
    decoding=ft.DecodingConfig(max_extra_length=32),
)

# %% [markdown]
# ## Train
#
# The first update takes some seconds, because XLA compiles the training step. All results go into one folder: tokenizer, checkpoints, metrics. If the training is interrupted, the same call resumes it from the last checkpoint, and the result is bit-identical to an uninterrupted run.

# %%
workdir = folder / "number_words"
ft.train(experiment, workdir)

# %% [markdown]
# The loss cannot reach 0. Label smoothing, which is on by default, spreads a tenth of the target's probability over all tokens, so even a perfect model has a loss of about 0.9. `flax-transformer plot` writes the figure of `plot_curves` to a file.

# %%
ft.visualization.plot_curves({"number words": workdir / "metrics.jsonl"})

# %% [markdown]
# ## Evaluate
#
# `evaluate` translates numbers that are not in the training data, by beam search. It writes the scores and the settings behind them into the folder. The signature says how a score was computed. Scores with different signatures cannot be compared.

# %%
record, scored = ft.evaluate(workdir, "test[:200]")
ft.show_scores(record)
assert record.scores["exact_match"].value > 80
assert record.scores["bleu"].value == 0

# %% [markdown]
# Why is BLEU 0, when nearly all translations are right? BLEU counts runs of one to four words that a translation shares with its reference, and multiplies the four shares. A German number is one word. It does not contain a run of four words, so the product is always zero. Better scores for this task are **chrF**, which counts runs of letters, and **exact match**, the share of translations that equal the reference letter by letter. The same holds for other scores: know what they count before you trust them.
#
# ## Use it
#
# `load` reads the trained model once. The model translates one string or many. `translate_n_best` returns several translations of each.

# %%
translator = ft.load(workdir)
text = "forty-one thousand, two hundred and eighty-five"
texts = [text, "six hundred and seven thousand and thirteen", "twenty-three", "seven"]
translations = translator.translate(texts)
dict(zip(texts, translations, strict=True))

# %% [markdown]
# If a translation is wrong, it is probably that of a short number. Short numbers look easy to us, but fewer than one in twenty of the 20,000 numbers is below 1,000, and a model is best at frequent inputs. The score above is a mean over numbers like those in training. It does not hold for other numbers.
#
# ## Beam search as a tree
#
# At each step the search keeps the three most probable partial translations (*hypotheses*). They are the *beam*. The model scores the next token of each. A hypothesis is finished when it writes the end mark `</s>`. Then its log-probability is divided by the length penalty
#
# $$lp(n) = \left(\frac{5 + n}{6}\right)^{0.6}$$
#
# because a longer translation is a product of more probabilities and would otherwise nearly always lose. `beam_search_tree` runs the same search and records every hypothesis that it considered.

# %%
tokenizer, model, variables = translator.tokenizer, translator.model, translator.variables
source = jax.numpy.array([[*tokenizer.encode(text), tokenizer.eos_id]])
start = jax.jit(lambda source: model.apply(variables, source, 16, method="start"))
tree = ft.decoding.beam_search_tree(
    jax.jit(lambda tokens, cache: model.apply(variables, tokens, cache, method="decode")),
    start(source),
    jax.numpy.array([[tokenizer.bos_id]]),
    beam_size=3,
    max_length=16,
    length_penalty=lambda length: ft.decoding.gnmt_length_penalty(length, alpha=0.6),
    eos_id=tokenizer.eos_id,
)
ft.visualization.plot_search_tree(tokenizer.names(tree.tokens), *tree[1:])

# %% [markdown]
# ## Where does it look?
#
# This is the decoder's attention to the source, in its last layer. Each row is a token that the decoder read. The row shows where the decoder looked to write the *next* token.

# %%
found = translator.attend(text, target=translations[0])
ft.visualization.plot_attention(
    found["weights"]["cross"][-1], found["tokens"], found["target_tokens"]
)

# %% [markdown]
# The order is swapped twice, as it is between the two languages. At `<s>` the decoder looks past "forty" (subwords "f", "orty") at "one" and writes *ein*. At *ein* some heads look back at "forty", for *undvierzigtausend*. Later the decoder looks at "five" for *fünf*, and then back at "eighty" for *undachtzig*. The data do not say which word belongs to which. The model learned it because it lowers the loss.
#
# Other parts are less clear. Some heads look at an "and", a comma or a hyphen: the encoder may have put the needed information there. Before the end mark there is nothing left to translate, and heads look at various tokens. In the decoder's first layer, few heads are as easy to read. The next cell lists, for each token that the decoder read, the source token with the largest mean weight over the heads:

# %%
mean_weights = found["weights"]["cross"][-1].mean(axis=0)
looked_at = [found["tokens"][key] for key in mean_weights.argmax(axis=1)]
assert looked_at[0] == "one"
list(zip(found["target_tokens"], looked_at, strict=True))

# %% [markdown]
# The page shows all layers, also of the encoder's and the decoder's self-attention. Choose the part *cross* and the last layer to see the lines cross:

# %%
ft.view_attention(**found)

# %% [markdown]
# ## Your own two text files
#
# Write one sentence per line: line N of one file translates line N of the other. Here are twenty pairs for training and four for validation. The words of these four are all in the training data, but the sentences are not.

# %%
english = """\
the dog sees the cat
the dog sees the child
the dog hears the bird
the dog hears the cat
the dog likes the child
the dog likes the bird
the cat sees the dog
the cat sees the bird
the cat hears the child
the cat hears the dog
the cat likes the bird
the child sees the dog
the child sees the cat
the child hears the bird
the child likes the dog
the child likes the cat
the bird sees the child
the bird hears the dog
the bird hears the cat
the bird likes the child
"""
german = """\
der Hund sieht die Katze
der Hund sieht das Kind
der Hund hört den Vogel
der Hund hört die Katze
der Hund mag das Kind
der Hund mag den Vogel
die Katze sieht den Hund
die Katze sieht den Vogel
die Katze hört das Kind
die Katze hört den Hund
die Katze mag den Vogel
das Kind sieht den Hund
das Kind sieht die Katze
das Kind hört den Vogel
das Kind mag den Hund
das Kind mag die Katze
der Vogel sieht das Kind
der Vogel hört den Hund
der Vogel hört die Katze
der Vogel mag das Kind
"""
files = {name: folder / name for name in ("train.en", "train.de", "valid.en", "valid.de")}
files["train.en"].write_text(english, "utf-8")
files["train.de"].write_text(german, "utf-8")
files["valid.en"].write_text(
    """\
the dog hears the child
the cat likes the child
the child sees the bird
the bird sees the cat
""",
    "utf-8",
)
files["valid.de"].write_text(
    """\
der Hund hört das Kind
die Katze mag das Kind
das Kind sieht den Vogel
der Vogel sieht die Katze
""",
    "utf-8",
)
[*files]

# %% [markdown]
# The experiment is like the one above, with other data and a smaller model. Instead of beam search, it takes the most probable token at each step (greedy search). A batch holds all pairs.

# %%
own_experiment = ft.Experiment(
    data=ft.ParallelTextConfig(
        dataset="text_files",
        train_source=str(files["train.en"]),
        train_target=str(files["train.de"]),
        validation_source=str(files["valid.en"]),
        validation_target=str(files["valid.de"]),
        vocab_size=320,
        max_length=32,
        batch_size=20,
        num_buckets=1,
        data_dir=str(folder / "data"),
    ),
    model=ft.EncoderDecoderConfig(
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_model=64,
        d_ff=128,
        num_heads=4,
        norm_placement="pre",
        residual_dropout_rate=0.0,
    ),
    optimizer=experiment.optimizer,
    training=ft.TrainingConfig(
        num_steps=120,
        evaluate_every_steps=120,
        checkpoint_every_steps=120,
        keep_checkpoints=1,
        log_every_steps=10,
    ),
    decoding=ft.DecodingConfig(method="greedy"),
)
ft.train(own_experiment, folder / "own")

# %% [markdown]
# These sentences have five words, so BLEU has runs of four words to count. When this was written, three of the four translations were right. The fourth was a sentence from the training data, *die Katze mag den Vogel*. BLEU was 83.8, exact match 75 %:

# %%
record, scored = ft.evaluate(folder / "own", "validation")
ft.show_scores(record)
scored.outputs

# %%
own = ft.load(folder / "own")
own_texts = ["the bird likes the dog", "the house sees the dog", "the dog sees the cat"]
own_translations = own.translate(own_texts)
assert own_translations[2] == "der Hund sieht die Katze"
dict(zip(own_texts, own_translations, strict=True))

# %% [markdown]
# The first of these sentences is not in the files. The word "house" is not either. The model cannot know the translation of a word that it has never read, so it writes a word that it knows. Twenty pairs teach little more than these twenty pairs. A translator of everyday sentences needs at least some ten thousand pairs and more than a minute of training, for example `experiments/multi30k_en_de.py`.
#
# ## The same from the command line
#
# ```
# flax-transformer train experiments/number_words.py --workdir runs/number_words
# flax-transformer translate --workdir runs/number_words "twenty-three"
# flax-transformer evaluate --workdir runs/number_words
# flax-transformer attention --workdir runs/number_words "twenty-three" --out page.html
# flax-transformer plot runs/number_words --out curves.png
#
# flax-transformer train experiments/text_files.py --workdir runs/mine \
#     --data.train-source train.en --data.train-target train.de \
#     --data.validation-source valid.en --data.validation-target valid.de
# ```
#
# Next: the same encoder on images and videos, [beyond text](05_beyond_text.ipynb).
