"""Classification of images and of videos."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flax_transformer.data.batches.batch import LabeledBatch
from flax_transformer.data.batches.examples import ArrayInputs, Examples
from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.datasets.own_files import OwnFiles, read_own_folder
from flax_transformer.data.files.example_files import IMAGE, VIDEO, examples_in
from flax_transformer.data.files.folders import tell_passed_over
from flax_transformer.data.files.image_files import read_images, read_large
from flax_transformer.data.files.pixel_splits import open_pixels, still
from flax_transformer.data.pixels_config import ImagesConfig, VideosConfig
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.inspection.picture_attention import image_attention, video_attention
from flax_transformer.tasks.classification.augmentation import make_augment
from flax_transformer.tasks.classification.classification_task import ClassificationTask
from flax_transformer.tasks.classification.classifier import Input
from flax_transformer.tasks.task import Experiment, Fields, Model, Variables


class ImageClassification(ClassificationTask):
    """Predicts the classes of images.

    Attributes:
        shape: of an example's pixels.
        shown_side: limit of the sides of a picture over which attention is shown, in pixels.
    """

    description = "an image to its class"
    reads = (ImagesConfig,)
    takes = ("images", "classes")
    unit = "images"
    kind = IMAGE
    picture_attention = staticmethod(image_attention)
    shown_side = 1024

    def __init__(self, experiment: Experiment, *args: Any):
        super().__init__(experiment, *args)
        self.shape = self.shape_of(experiment.model)
        self.augment = make_augment(experiment.data.augmentation)

    @classmethod
    def shape_of(cls, model: Model) -> tuple[int, ...]:
        """Returns the shape of the pixels that a model of this config reads."""
        frames = (model.num_frames,) if cls.kind is VIDEO else ()
        return (*frames, *model.image_size, model.num_channels)

    @classmethod
    def read_split(cls, data: DataConfig, tokenizer: Tokenizer | None, split: str) -> Examples:
        """Reads a split."""
        return open_pixels(data, split)

    def read_own(self, files: OwnFiles) -> Examples:
        """Reads files in one folder per class; with data.still, only the first frame of a video."""
        data = self.experiment.data
        examples = read_own_folder(files, self.kind, self.class_names, self.shape, data.background)
        if not getattr(data, "still", False):
            return examples
        assert isinstance(examples.inputs, ArrayInputs)
        return examples._replace(inputs=ArrayInputs(still(examples.inputs.array)))

    @classmethod
    def check(cls, experiment: Experiment, examples: Examples) -> None:
        """Rejects images whose size or number of channels is not the model's."""
        found = examples.inputs.take(np.array([0]))[0].shape[1:]
        shape = cls.shape_of(experiment.model)
        if found != shape:
            raise UserError(
                f"the data set's examples are {' x '.join(map(str, found))}, but the model reads "
                f"{' x '.join(map(str, shape))}: change --model.image-size and --model.num-channels"
            )

    def given(self, batch: LabeledBatch | None = None) -> Fields:
        """Scales the pixels to numbers from -1 to 1; without a batch, those of a black image."""
        black = np.zeros((1, *self.shape), np.uint8)
        pixels = jnp.asarray(black if batch is None else batch.inputs)
        return {self.takes[0]: scale_pixels(pixels)}

    def read(self, inputs: Input) -> ArrayInputs:
        """Reads images: paths of files, Pillow images, or arrays of pixels."""
        return ArrayInputs(read_images(inputs, self.shape, self.experiment.data.background))

    def expand(self, word: str) -> list[Path]:
        """Returns a file, or all files below a folder, in natural order."""
        path, kind = Path(word), self.kind
        if not word.strip():  # the path of a blank line would be the current folder
            raise UserError(f"a blank line is not the name of a file: give {self.unit}")
        if not path.is_dir() or kind.is_one(path):
            return [path]
        found, others = examples_in(path, kind)
        tell_passed_over(others, path, kind.name)
        if not found:
            raise UserError(f"{path} has no {kind.name} ({kind.known}): give another folder")
        return found

    def attention(self, variables: Variables, given: Input) -> Fields:
        """Computes the attention between the patches, to be shown over the original's pixels."""
        scaled = scale_pixels(jnp.asarray(self.read([given]).array[0]))
        shown = read_large(given, self.shape, self.shown_side, self.experiment.data.background)
        return self.picture_attention(self.model, variables, scaled, shown)


class VideoClassification(ImageClassification):
    """Predicts the classes of videos."""

    description = "a video to its class"
    reads = (VideosConfig,)
    takes = ("videos", "classes")
    unit = "videos"
    kind = VIDEO
    picture_attention = staticmethod(video_attention)
    shown_side = 384


def scale_pixels(pixels: Array) -> Float[Array, "..."]:
    """Scales pixels from 0..255 to -1..1.

    Example:
        >>> scale_pixels(jnp.array([0, 255], jnp.uint8)).tolist()
        [-1.0, 1.0]
    """
    return pixels.astype(jnp.float32) / 127.5 - 1
