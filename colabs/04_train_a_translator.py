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
# From pairs of texts to a scored translator: this notebook trains an encoder-decoder to write English numbers in German, scores it, looks at how it searches and where it looks, and then does the same with two text files of your own.
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

folder = Path(tempfile.mkdtemp())  # all that this notebook writes

# %% [markdown]
# ## The data
#
# Numbers in words, 20,000 to train on and others to score with, which the package makes itself. It is a small task, and a real one: German puts the units before the tens. "twenty-three" is *dreiundzwanzig*, three-and-twenty, so the model has to learn an order that crosses.

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
list(ft.open_split(data, "train[:3]").records)

# %% [markdown]
# ## The experiment
#
# An experiment says all that there is to say: which data, which model, how it is trained, how translations are searched for. It is plain data, and every field has a sentence that explains it (`help(ft.ParallelTextConfig)`). Sentences become subwords of a vocabulary of 400, so that a subword is about one number word. A batch has 2,048 target tokens at most; all have one shape here, so that XLA compiles the training step once (`num_buckets=1`).

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
# The first update takes some seconds, in which XLA compiles the training step. All that is made goes into one folder: tokenizer, checkpoints, measurements. Were it interrupted here, the same call would go on from the last checkpoint and end with the same bits.

# %%
workdir = folder / "number_words"
ft.train(experiment, workdir)

# %% [markdown]
# The loss cannot come to 0: label smoothing, on by default, asks for a tenth of the probability on other tokens, and with it even a perfect model keeps about 0.9. What `plot_curves` draws, `flax-transformer plot` writes to a file.

# %%
ft.visualization.plot_curves({"number words": workdir / "metrics.jsonl"})

# %% [markdown]
# ## Score
#
# `evaluate` translates numbers that were not trained on, by beam search, and writes the scores into the folder, with all that made them. The signature says how a score was computed; without it, two figures do not compare.

# %%
record, scored = ft.evaluate(workdir, "test[:200]")
ft.show_scores(record)
assert record.scores["exact_match"].value > 80
assert record.scores["bleu"].value == 0

# %% [markdown]
# Why is BLEU 0, when nearly all is right? BLEU counts runs of one to four words that a translation shares with its reference, and multiplies the four shares. A German number is one single word, so there is no run of four, and the product is zero whatever the model does. So one looks at **chrF**, which counts runs of letters, and at **exact match**, the share of translations that are the reference letter by letter. The lesson holds for other scores: know what they count before you trust them.
#
# ## Use it
#
# `load` reads the trained model once. It translates a string, or many; `translate_n_best` gives several translations of each.

# %%
translator = ft.load(workdir)
text = "forty-one thousand, two hundred and eighty-five"
texts = [text, "six hundred and seven thousand and thirteen", "twenty-three", "seven"]
translations = translator.translate(texts)
dict(zip(texts, translations, strict=True))

# %% [markdown]
# Should one of these be wrong, look at the short ones first. They look easiest to us, but of the 20,000 numbers fewer than one in twenty is below 1,000, and a model knows what it has seen often. The score above is a mean over numbers like those of the training; it promises nothing for others.
#
# ## Beam search as a tree
#
# At each step the search keeps the three most probable beginnings, the *beam*, and asks the model for the next token of each. A hypothesis is finished when it writes the end mark `</s>`. Then its log-probability is divided by the length penalty
#
# $$lp(n) = \left(\frac{5 + n}{6}\right)^{0.6}$$
#
# because a longer translation is a product of more probabilities and would else always lose. `beam_search_tree` does what the search does, and writes down what it weighed.

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
# The decoder's attention to the source, in its last layer. Each row is a token that the decoder read, and shows where it looked to write the *next* one.

# %%
found = translator.attend(text, target=translations[0])
ft.visualization.plot_attention(
    found["weights"]["cross"][-1], found["tokens"], found["target_tokens"]
)

# %% [markdown]
# The order crosses, as the languages do, and it does so twice. From `<s>` the decoder writes *ein* and looks at "one", past "forty" (in subwords: "f", "orty"); from *ein* some heads go back to "forty", for *undvierzigtausend*. Later it looks at "five" for *fünf*, and then back at "eighty" for *undachtzig*. Nobody told it which word belongs to which; to look there is what lowered the loss.
#
# It is not that tidy everywhere. Some heads look at an "and", a comma or a hyphen, where the encoder may have put what they need; where the end mark comes next, no word is to be found, and heads look here and there; and in the decoder's first layer few are so easily read. Below is, for each token read, the one that the heads look at most, on average:

# %%
mean_weights = found["weights"]["cross"][-1].mean(axis=0)
looked_at = [found["tokens"][key] for key in mean_weights.argmax(axis=1)]
assert looked_at[0] == "one"
list(zip(found["target_tokens"], looked_at, strict=True))

# %% [markdown]
# The page shows all layers, and the encoder and the decoder too. Choose the part *cross* and the last layer to see the lines cross:

# %%
ft.view_attention(**found)

# %% [markdown]
# ## Your own two text files
#
# One sentence a line; line N of one file translates line N of the other. Here are twenty pairs, and four more to validate on. Of each of these four, every word was trained on, though not the sentence.

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
# The experiment is like the one above, with other data, a smaller model, and at each step the most probable token instead of a beam. A batch holds all pairs.

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
# These are sentences of five words, so BLEU has runs of four to count. When this was written, three of the four were right; the fourth ended as a sentence does that was trained on, *die Katze mag den Vogel*. BLEU was 83.8, exact match 75 %:

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
# The first of these sentences was in none of the files. "house" was not either: of a word that it has never read, the model cannot know the translation, and it writes what it knows. Twenty pairs teach twenty pairs and little more. A translator of everyday sentences wants some ten thousand pairs at least, and more than a minute: `experiments/multi30k_en_de.py` is one.
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
