"""What classification reads: texts, images and videos, each with the model for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from flax_transformer.data.batches.examples import ArrayInputs, Examples, Inputs, TextInputs
from flax_transformer.data.datasets.labelled_datasets import (
    ImagesConfig,
    LabelledTextConfig,
    VideosConfig,
    open_arrays,
    open_texts,
    still,
    train_tokenizer,
)
from flax_transformer.data.datasets.own_files import OwnFiles, read_own_folder, read_own_table
from flax_transformer.data.files.example_paths import IMAGE, VIDEO, examples_in
from flax_transformer.data.files.folders import tell_passed_over
from flax_transformer.data.files.image_files import read_images, read_pixels
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import BOS, Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.models.attention_weights import attention_weights
from flax_transformer.models.encoder_only import EncoderOnly
from flax_transformer.models.picture_attention import image_attention, video_attention
from flax_transformer.models.video import VideoTransformer
from flax_transformer.models.vision import VisionTransformer
from flax_transformer.tasks.classification.augmentation import make_augment
from flax_transformer.tasks.classification.classification import Reading
from flax_transformer.tasks.task import TOKENIZER, Parts, Variables
from flax_transformer.tasks.text_attention import encode_text


@runtime_checkable
class Source(Protocol):
    """Examples of one kind, and the model that reads them.

    Attributes:
        unit: what they are, in the plural.
    """

    unit: str

    def open(self, split: str) -> Examples:
        """Reads a split."""
        ...

    def open_own(self, files: OwnFiles, class_names: tuple[str, ...]) -> Examples:
        """Reads a user's own labelled examples, with the classes of a trained model."""
        ...

    def check(self, examples: Examples) -> None:
        """Refuses examples that the model cannot read."""
        ...

    def model(self, num_classes: int) -> Any:
        """Makes the model."""
        ...

    def reading(self) -> Reading:
        """How the model reads a batch."""
        ...

    def read(self, inputs: Any) -> Inputs:
        """Reads a user's own inputs; one need not be in a list."""
        ...

    def expand(self, example: str) -> list[Any]:
        """Gives the inputs that a word of the command line names: a text, or one or more files."""
        ...

    def attend(self, model: Any, variables: Variables, example: Any) -> dict[str, Any]:
        """Where the model looks as it reads a user's input, as arguments of `view_attention`."""
        ...

    def show(self, inputs: Inputs, index: int) -> str:
        """Shows one input on a line; "" of one that is no text."""
        ...

    def save(self, folder: Path) -> None:
        """Writes what it needs of the training data."""
        ...


class TextSource:
    """Texts, read by an encoder-only model; see `Source`."""

    unit = "texts"

    def __init__(self, parts: Parts, folder: Path, *, is_trained: bool):
        self._data, self._config = parts.data, parts.model
        path = folder / TOKENIZER
        # Of a trained model a lost tokenizer is an error: another one would have other ids.
        is_kept = is_trained or path.exists()
        self._tokenizer = Tokenizer.load(path) if is_kept else train_tokenizer(self._data)

    def open(self, split: str) -> Examples:
        """Reads a split."""
        return open_texts(self._data, self._tokenizer, split)

    def open_own(self, files: OwnFiles, class_names: tuple[str, ...]) -> Examples:
        """Reads a table of labelled texts."""
        texts, labels = read_own_table(files, class_names)
        return Examples(self.read(texts), labels, class_names)

    def check(self, examples: Examples) -> None:
        """Any text can be read."""

    def model(self, num_classes: int) -> EncoderOnly:
        """Makes the model."""
        return EncoderOnly(self._config, self._tokenizer.vocab_size, num_classes)

    def reading(self) -> Reading:
        """Token ids are read as they are."""
        return Reading("classify", lambda tokens: tokens, jnp.full((1, 1), BOS, jnp.int32))

    def read(self, inputs: str | Sequence[str]) -> TextInputs:
        """Tokenises texts."""
        inputs = [inputs] if isinstance(inputs, str) else inputs
        for number, text in enumerate(inputs, 1):
            if not isinstance(text, str):
                raise UserError(f"text {number} is no string, but {text!r:.60}: give strings")
        texts = TokenizedText.encode(self._tokenizer, inputs, begin=True)
        return TextInputs(texts, self._data.max_length)

    def expand(self, example: str) -> list[str]:
        """A text is a text."""
        return [example]

    def attend(self, model: EncoderOnly, variables: Variables, example: str) -> dict[str, Any]:
        """Between the tokens of a text."""
        longest = self._data.max_length
        ids = encode_text(self._tokenizer, "text", example, longest, begin=True, end=True)
        weights = attention_weights(model, variables, ids[None])["encoder"][:, 0]
        return {
            "weights": {"encoder": np.asarray(weights)},
            "tokens": self._tokenizer.names(ids.tolist()),
        }

    def show(self, inputs: Inputs, index: int) -> str:
        """Shows a text."""
        return self._tokenizer.decode(inputs.take(np.array([index]))[0])

    def save(self, folder: Path) -> None:
        """Writes the tokenizer."""
        self._tokenizer.save(folder / TOKENIZER)


class ImageSource:
    """Images, read by a vision Transformer; see `Source`."""

    unit = "images"
    _kind = IMAGE
    _attention = staticmethod(image_attention)

    def __init__(self, parts: Parts, folder: Path, *, is_trained: bool):
        self._data, self._config = parts.data, parts.model

    def open(self, split: str) -> Examples:
        """Reads a split."""
        return open_arrays(self._data, split)

    def open_own(self, files: OwnFiles, class_names: tuple[str, ...]) -> Examples:
        """Reads files in folders of classes."""
        shape, background = self._shape(), self._data.background

        def read(path: Path, damages: list[str] | None) -> np.ndarray:
            return read_pixels(path, shape, background, damages)

        return read_own_folder(files, self._kind, class_names, shape, read)

    def check(self, examples: Examples) -> None:
        """Refuses images of another size or number of channels than the model's."""
        _check_shape(examples, self._shape(), "model.image_size and model.num_channels")

    def model(self, num_classes: int) -> VisionTransformer:
        """Makes the model."""
        return VisionTransformer(self._config, num_classes)

    def reading(self) -> Reading:
        """Pixels from 0 to 255 become numbers from -1 to 1, once chance has changed them."""
        example = jnp.zeros((1, *self._shape()), jnp.uint8)
        augment = make_augment(self._data.augmentation)
        return Reading("__call__", scale_pixels, example, augment)

    def read(self, inputs: Any) -> ArrayInputs:
        """Reads images from files, or takes Pillow's, or arrays of pixels."""
        return ArrayInputs(read_images(inputs, self._shape(), self._data.background))

    def expand(self, example: str) -> list[Path]:
        """Gives a file, or the files in a folder, at any depth and in natural order."""
        path, kind = Path(example), self._kind
        if not example.strip():  # its path would be the current folder
            raise UserError(f"a blank line is not the name of a file: give {self.unit}")
        if not path.is_dir() or kind.is_one(path):
            return [path]
        found, others = examples_in(path, kind)
        tell_passed_over(others, path, kind.name)
        if not found:
            raise UserError(f"{path} has no {kind.name} ({kind.known}): give another folder")
        return found

    def attend(self, model: Any, variables: Variables, example: Any) -> dict[str, Any]:
        """Between the patches, over the pixels."""
        pixels = self.read([example]).array[0]
        return self._attention(model, variables, scale_pixels(jnp.asarray(pixels)), pixels)

    def show(self, inputs: Inputs, index: int) -> str:
        """An image is no text."""
        return ""

    def save(self, folder: Path) -> None:
        """Nothing of the training data is needed."""

    def _shape(self) -> tuple[int, ...]:
        return (*self._config.image_size, self._config.num_channels)


class VideoSource(ImageSource):
    """Videos, read by a video Transformer; see `Source`."""

    unit = "videos"
    _kind = VIDEO
    _attention = staticmethod(video_attention)

    def open_own(self, files: OwnFiles, class_names: tuple[str, ...]) -> Examples:
        """Reads files in folders of classes; with data.still, only their first frames."""
        examples = super().open_own(files, class_names)
        if not self._data.still:
            return examples
        inputs: Any = examples.inputs
        return examples._replace(inputs=ArrayInputs(still(inputs.array)))

    def model(self, num_classes: int) -> VideoTransformer:
        """Makes the model."""
        return VideoTransformer(self._config, num_classes)

    def _shape(self) -> tuple[int, ...]:
        return (self._config.num_frames, *super()._shape())


SOURCES: dict[type, Any] = {
    LabelledTextConfig: TextSource,
    ImagesConfig: ImageSource,
    VideosConfig: VideoSource,
}


def scale_pixels(pixels: Array) -> Float[Array, "..."]:
    """Makes numbers from -1 to 1 of pixels from 0 to 255.

    Example:
        >>> scale_pixels(jnp.array([0, 255], jnp.uint8)).tolist()
        [-1.0, 1.0]
    """
    return pixels.astype(jnp.float32) / 127.5 - 1


def _check_shape(examples: Examples, shape: tuple[int, ...], fields: str) -> None:
    found = examples.inputs.take(np.array([0])).shape[1:]
    if found != shape:
        raise UserError(
            f"the data set's examples are {' x '.join(map(str, found))}, but the model reads "
            f"{' x '.join(map(str, shape))}: change {fields}"
        )
