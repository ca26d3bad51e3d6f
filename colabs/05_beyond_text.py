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
# # Beyond text: images and videos
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/flax-transformer/flax_transformer/blob/main/colabs/05_beyond_text.ipynb)
#
# An encoder reads a sequence of vectors, whatever they represent. This notebook cuts images and videos into pieces, gives the pieces to the same encoder that reads words, and trains one model for each, in seconds.
#
# It runs from top to bottom in under a minute on two CPU cores.

# %%
# Installs what is missing, as on a new Colab: the package, and scikit-learn, which has the images.
import importlib.util

sources = {
    "flax_transformer": "git+https://github.com/flax-transformer/flax_transformer",
    "sklearn": "scikit-learn",
}
missing = [source for name, source in sources.items() if importlib.util.find_spec(name) is None]
if missing:
    print("installing", *missing, "...")
    # %pip install --quiet {" ".join(missing)}

# %%
# %matplotlib inline
import tempfile
from pathlib import Path

import numpy as np

import flax_transformer as ft

folder = Path(tempfile.mkdtemp())  # for all files of this notebook
data_folder = str(folder / "data")

# %% [markdown]
# ## Images
#
# The images are handwritten digits of 8 × 8 gray pixels, which come with scikit-learn: 1,297 for training, 200 for validation, 300 for the test. A pixel is a number from 0 to 255.

# %%
image_data = ft.ImagesConfig(dataset="digits", batch_size=64, data_dir=data_folder)
digits = ft.open_pixels(image_data, "train")
images = digits.inputs.take(np.arange(16))[0]
ft.visualization.plot_images(images, [digits.class_names[label] for label in digits.labels[:16]])

# %% [markdown]
# ## Patches are tokens
#
# `split_patches` cuts an image into patches, row by row. The image below is one of the digits above, cut into 4 × 4 patches of 2 × 2 pixels.

# %%
patches = ft.functional.split_patches(images[3], (2, 2))
assert patches.shape == (16, 4)  # 16 tokens, each of 2 * 2 * 1 numbers
ft.visualization.plot_images(
    patches.reshape(16, 2, 2, 1), [f"token {token}" for token in range(16)], columns=4
)

# %% [markdown]
# To the encoder they are a sequence of 16 tokens:

# %%
ft.visualization.plot_images(
    patches.reshape(16, 2, 2, 1), [str(token) for token in range(16)], columns=16
)

# %% [markdown]
# A word is an id, so its vector is looked up in a table. A patch $p$ already is a vector, so a matrix $W$ projects it to the width of the model. Everything else is the same:
#
# $$x_i = p_i W + b + PE_i$$
#
# ## Where is a patch?
#
# Attention by itself does not know the order of its tokens (see [positional encoding](01_positional_encoding.ipynb)), so it does not know which patch is above which. If patches are encoded by their number in the sequence, patch 4 is close to patch 3, although patch 3 ends a row and patch 4 begins the next. If they are encoded by row and column, each with half of the width, a patch is close to the patches around it:
#
# $$PE(\text{row}, \text{column}) = [PE(\text{row});\ PE(\text{column})]$$
#
# Each panel of the next two pictures belongs to one patch. Its colors show the similarity of that patch to every patch of the grid. The first picture encodes the number in the sequence, the second the row and the column:

# %%
ft.visualization.plot_grid_similarity(ft.functional.sinusoidal_positions(np.arange(16), 64), (4, 4))

# %%
places = ft.functional.grid_coordinates(patches, (4, 4))
ft.visualization.plot_grid_similarity(ft.functional.sinusoidal_2d_positions(places, 64), (4, 4))

# %% [markdown]
# ## Train a Vision Transformer
#
# An experiment defines everything: the data, the model and the training. The encoder returns one vector for each patch, and the class is predicted from their mean. Positions are a learned table, as in the paper on the Vision Transformer. `positions="sinusoidal_2d"` would give those of the last picture.

# %%
image_experiment = ft.Experiment(
    data=image_data,
    model=ft.VisionConfig(
        num_layers=2,
        d_model=64,
        d_ff=128,
        num_heads=4,
        image_size=(8, 8),
        patch_size=(2, 2),
        num_channels=1,
        positions="learned",
        pooling="mean",
        residual_dropout_rate=0.1,
    ),
    task=ft.ClassificationConfig(label_smoothing=0.1),
    optimizer=ft.OptimizerConfig("cosine", 2e-3, warmup_steps=50, clip_norm=1.0),
    training=ft.TrainingConfig(
        num_steps=500,
        evaluate_every_steps=100,
        checkpoint_every_steps=500,
        keep_checkpoints=1,
    ),
)
ft.train(image_experiment, folder / "digits")

# %%
ft.visualization.plot_curves({"digits": folder / "digits" / "metrics.jsonl"}, score="accuracy")

# %% [markdown]
# The accuracy on the 300 held-out images was 88 % when this was written; guessing gives 10 %. These images are the end of the data set, and their writers may differ from those at its beginning.

# %%
record, scored = ft.evaluate(folder / "digits", "test")
ft.show_scores(record)
assert record.scores["accuracy"].value > 75

# %% [markdown]
# The confusion matrix counts the images of each true class (row) by their predicted class (column):

# %%
confusions = np.array(scored.details["confusions"])
figure = ft.visualization.plot_matrices(
    {"images of the test split": confusions}, digits.class_names, digits.class_names
)
figure.axes[0].set(xlabel="predicted class", ylabel="true class")
figure

# %% [markdown]
# One call loads the trained model. It takes arrays of pixels or image files:

# %%
classifier = ft.load(folder / "digits")
test = ft.open_pixels(image_data, "test")
image = test.inputs.take(np.array([0]))[0][0]
classifier.classify([image])[0]

# %% [markdown]
# ## Where does it look?
#
# The page shows attention over the image: choose a patch to see where it looks. The title is the predicted class with its probability.
#
# Note: such a picture shows where a head looks. It does not show why the model gives its answer. After a training of seconds, heads differ from one training to the next.

# %%
ft.view_attention(**classifier.attend(image))

# %% [markdown]
# What did the model learn about positions? The picture shows its learned table, drawn as above. Rows and columns are not visible: the vectors are about as similar as random vectors, which they were before training. Different vectors are enough to distinguish positions. In large models, trained on many images, the learned table shows which positions are neighbors (Dosovitskiy et al. 2021, figure 7).

# %%
table = classifier.variables["params"]["image_encoder"]["positions"]["table"]
ft.visualization.plot_grid_similarity(table, (4, 4))

# %% [markdown]
# ## Videos
#
# A video has one more axis, time. Its pieces, called *tubelets*, span several frames. In these videos, which the package generates, a digit moves. The class is the motion: one of eight directions, turning, or bouncing back and forth. A digit that leaves the picture on one side enters it on the opposite side.

# %%
video_data = ft.VideosConfig(dataset="moving_digits", batch_size=32, data_dir=data_folder)
moving = ft.open_pixels(video_data, "train")
motions = moving.class_names
shown = ["right", "up_left", "turning", "bouncing"]
rows = [np.flatnonzero(moving.labels == motions.index(motion))[0] for motion in shown]
videos = moving.inputs.take(np.array(rows))[0]
frame_names = [f"{motion} {frame}" for motion in shown for frame in range(8)]
ft.visualization.plot_images(videos.reshape(-1, 32, 32, 1), frame_names)

# %% [markdown]
# ## Does it need the motion at all?
#
# A model may give the right answer for the wrong reason: if all digits that move to the right began on the left, one frame would be enough. These videos exclude that. Every scene (the digit, its position and its angle) is shown once in each class. So all classes have the same first frames:

# %%
first_frames = moving.inputs.take(np.arange(len(moving.labels)))[0][:, 0].reshape(-1, 32 * 32)
of_class = [np.unique(first_frames[moving.labels == label], axis=0) for label in range(10)]
assert all(np.array_equal(frames, of_class[0]) for frames in of_class)
[frames.shape for frames in of_class][:2]  # different pictures, pixels

# %% [markdown]
# So any answer to a first frame is right for one of ten videos. A model that sees only one frame cannot do better than guessing.
#
# ## Train a video Transformer
#
# Cut into 4 × 4 × 4 tubelets of 2 frames and 8 × 8 pixels, a video is 64 tokens. Each tubelet attends to all tubelets (`variant="joint"`), and the class is predicted from the mean of the encoder's outputs.

# %%
video_experiment = ft.Experiment(
    data=video_data,
    model=ft.VideoConfig(
        variant="joint",
        pooling="mean",
        num_layers=2,
        d_model=64,
        d_ff=128,
        num_heads=4,
        image_size=(32, 32),
        patch_size=(8, 8),
        num_frames=8,
        tubelet_frames=2,
        num_channels=1,
    ),
    task=ft.ClassificationConfig(),
    optimizer=ft.OptimizerConfig("cosine", 2e-3, warmup_steps=50, clip_norm=1.0),
    training=ft.TrainingConfig(
        num_steps=160,
        evaluate_every_steps=40,
        checkpoint_every_steps=160,
        keep_checkpoints=1,
        log_every_steps=20,
    ),
)
ft.train(video_experiment, folder / "moving_digits")

# %%
ft.visualization.plot_curves(
    {"moving digits": folder / "moving_digits" / "metrics.jsonl"}, score="accuracy"
)

# %% [markdown]
# The digits of the test split, 5 and 8, are not in the training videos. So the model has to recognize the motion, not the digits. When this was written, 94.8 % of the answers were right. The confusions were mainly between turning and bouncing, which both stay near one place.

# %%
record, scored = ft.evaluate(folder / "moving_digits", "test")
ft.show_scores(record)
assert record.scores["accuracy"].value > 60

# %%
confusions = np.array(scored.details["confusions"])
figure = ft.visualization.plot_matrices({"videos of the test split": confusions}, motions, motions)
figure.axes[0].set(xlabel="predicted class", ylabel="true class")
figure

# %% [markdown]
# A control experiment: `still=True` repeats the first frame instead of showing the others. The first frame does not show the motion, so the same model is right for exactly one video of ten.

# %%
watcher = ft.load(folder / "moving_digits")
still_data = ft.VideosConfig(dataset="moving_digits", still=True, data_dir=data_folder)
still = ft.open_pixels(still_data, "test")
answers = watcher.classify([*still.inputs.take(np.arange(len(still.labels)))[0]])
is_right = np.array([answer.label for answer in answers]) == np.array(motions)[still.labels]
assert is_right.mean() == 0.1
is_right.mean()

# %% [markdown]
# ## Attention over space and time
#
# The times are below the picture. Choose one to see how much attention goes there, and where. A tubelet may attend to other times, so it can find where the digit came from. A tubelet itself has two frames, which already show a direction.

# %%
video = moving.inputs.take(np.array(rows[:1]))[0][0]
ft.view_attention(**watcher.attend(video))

# %% [markdown]
# The cost of attention between all tubelets grows with the square of their number. `variant="factorized_encoder"` and two other variants attend over space and over time separately, for long videos.
#
# ## The same for text
#
# The same task classifies text: use `LabeledTextConfig` (your own .csv files, or the data set TREC) instead of `ImagesConfig`, and `EncoderOnlyConfig` instead of `VisionConfig`. Everything else is as above. On the command line:
#
# ```
# flax-transformer train experiments/trec.py --workdir runs/trec
# flax-transformer classify --workdir runs/trec "Who wrote Hamlet ?"
# flax-transformer train experiments/digits.py --workdir runs/digits
# flax-transformer train experiments/moving_digits.py --workdir runs/moving_digits
# ```
#
# Next: [use it in your project](06_use_in_your_project.ipynb), with your own loops and models.
