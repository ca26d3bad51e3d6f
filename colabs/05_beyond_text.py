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
# An encoder reads a sequence of vectors, and does not ask what they are of. This notebook cuts images and videos into pieces, gives the pieces to the same encoder that reads words, and trains both, each for seconds.
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

folder = Path(tempfile.mkdtemp())  # all that this notebook writes
data_folder = str(folder / "data")

# %% [markdown]
# ## Images
#
# Handwritten digits of 8 × 8 gray pixels, which come with scikit-learn: 1,297 to train on, 200 to validate, 300 to test. A pixel is a number from 0 to 255.

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
# Words are looked up in a table, because they are numbers of a list. A patch $p$ already is a vector, so a matrix makes it as wide as the model, and nothing else differs:
#
# $$x_i = p_i W + b + PE_i$$
#
# ## Where is a patch?
#
# Attention alone does not know the order of its tokens ([positional encoding](01_positional_encoding.ipynb)), and so would not know which patch was above which. Encoded by their number in the sequence, patch 4 would be near to patch 3, though one begins a row and the other ends the one before. Encoded by row and by column, each with half of the width, a place is near to those around it:
#
# $$PE(\text{row}, \text{column}) = [PE(\text{row});\ PE(\text{column})]$$
#
# Each panel of the picture stands for one patch, and shows the whole grid in the colors of its similarity with that patch. First by the number in the sequence, then by row and column:

# %%
ft.visualization.plot_grid_similarity(ft.functional.sinusoidal_positions(np.arange(16), 64), (4, 4))

# %%
places = ft.functional.grid_coordinates(patches, (4, 4))
ft.visualization.plot_grid_similarity(ft.functional.sinusoidal_2d_positions(places, 64), (4, 4))

# %% [markdown]
# ## Train a Vision Transformer
#
# An experiment says all that there is to say: which data, which model, how it is trained. Of what comes out of the encoder, one vector a patch, the mean tells the class. Positions are a table that is learned, as in the paper on the Vision Transformer; `positions="sinusoidal_2d"` would be those of the last picture.

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
# The accuracy on the 300 images held out: 88 % when this was written, where guessing is 10 %. They are the end of the data set, where others may have written than at its beginning.

# %%
record, scored = ft.evaluate(folder / "digits", "test")
ft.show_scores(record)
assert record.scores["accuracy"].value > 75

# %% [markdown]
# Which digit (row) was taken for which (column):

# %%
confusions = np.array(scored.details["confusions"])
ft.visualization.plot_matrices(
    {"images of the test split": confusions}, digits.class_names, digits.class_names
)

# %% [markdown]
# The trained model is one call away, and takes arrays of pixels or files of images:

# %%
classifier = ft.load(folder / "digits")
test = ft.open_pixels(image_data, "test")
image = test.inputs.take(np.array([0]))[0][0]
classifier.classify([image])[0]

# %% [markdown]
# ## Where does it look?
#
# The page paints attention over the image: choose a patch to see where it looks. Its title is the answer and the probability that the model gives it.
#
# An honest remark: such a picture shows where a head looks, and not why the model answers as it does. Heads of a model that was trained for seconds differ from one training to the next.

# %%
ft.view_attention(**classifier.attend(image))

# %% [markdown]
# And what did it learn of places? Here is its table of positions, drawn as the sines and cosines were above. It shows no rows and columns; its vectors are about as similar as any drawn at random, which they were before the training. To tell places apart it is enough that they differ. That a table comes to show which places are neighbors was seen in large models, trained on many images (Dosovitskiy et al. 2021, figure 7).

# %%
table = classifier.variables["params"]["image_encoder"]["positions"]["table"]
ft.visualization.plot_grid_similarity(table, (4, 4))

# %% [markdown]
# ## Videos
#
# A video has one axis more, and its pieces last several frames (*tubelets*). In these videos, made by the package itself, a digit moves. The class is how: in one of eight directions, turning, or bouncing back and forth. The edges of the picture meet, so that what leaves on one side comes in on the other.

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
# A model may answer rightly for a wrong reason: if all digits that move to the right began on the left, one picture would be enough. Here that is ruled out by how the videos are made. Every scene (which digit, where, at what angle) is filmed once in each class. So the first frames of all classes are the very same pictures:

# %%
first_frames = moving.inputs.take(np.arange(len(moving.labels)))[0][:, 0].reshape(-1, 32 * 32)
of_class = [np.unique(first_frames[moving.labels == label], axis=0) for label in range(10)]
assert all(np.array_equal(frames, of_class[0]) for frames in of_class)
[frames.shape for frames in of_class][:2]  # different pictures, pixels

# %% [markdown]
# Whatever is said of a first frame is therefore right for one of ten videos. No model of one frame can do better than guess.
#
# ## Train a video Transformer
#
# Cut into 4 × 4 × 4 tubelets of 2 frames and 8 × 8 pixels, a video is 64 tokens. All of them attend to all (`variant="joint"`), and the mean of what comes out tells the class.

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
# The digits of the test split, 5 and 8, stand in no video that was trained on. So what was learned is the motion, and not how these digits look. When this was written 94.8 % were right, and what was confused was turning with bouncing, which both stay where they are.

# %%
record, scored = ft.evaluate(folder / "moving_digits", "test")
ft.show_scores(record)
assert record.scores["accuracy"].value > 60

# %%
confusions = np.array(scored.details["confusions"])
ft.visualization.plot_matrices({"videos of the test split": confusions}, motions, motions)

# %% [markdown]
# And the control: `still=True` shows the first frame in place of all others. The same model then has what one picture tells, which is nothing. It is right for exactly one of ten.

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
# Below the picture are the times; choose one to see how much attention goes there, and where. A tubelet may look at places of other times, which is how it can tell where the digit came from. What a tubelet sees by itself are two frames, and these already tell a direction.

# %%
video = moving.inputs.take(np.array(rows[:1]))[0][0]
ft.view_attention(**watcher.attend(video))

# %% [markdown]
# Attention between all tubelets grows with the square of their number. `variant="factorized_encoder"` and two others look over space and over time separately, which is what long videos need.
#
# ## The same for text
#
# Classes of texts are told by the same task: `LabeledTextConfig` (your own .csv files, or the data set TREC) in place of `ImagesConfig`, `EncoderOnlyConfig` in place of `VisionConfig`, and all else as above. From the command line:
#
# ```
# flax-transformer train experiments/trec.py --workdir runs/trec
# flax-transformer classify --workdir runs/trec "Who wrote Hamlet ?"
# flax-transformer train experiments/digits.py --workdir runs/digits
# flax-transformer train experiments/moving_digits.py --workdir runs/moving_digits
# ```
#
# Next: [use it in your project](06_use_in_your_project.ipynb), for loops and models that no experiment foresees.
