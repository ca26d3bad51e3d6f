"""Classes of images and videos, from the contents of files."""

import asyncio
import base64
import io
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from flax_transformer.data.files.clips import DAMAGED, count_pixels, reason
from flax_transformer.errors import UserError
from flax_transformer.serving.batched_model import BatchedModel
from flax_transformer.serving.limits import LimitsConfig, RequestError
from flax_transformer.serving.requests import FILE, files_of
from flax_transformer.tasks.classification.classifier import Classifier

# Threads that decode, and requests whose files may be in memory at once.
READERS, READ_AT_ONCE = 2, 64
_KNOWN = {
    "images": "a PNG, JPEG, WebP or another that Pillow reads",
    "videos": "a GIF, WebP or PNG with several frames",
}


class ServedPictures(BatchedModel):
    """A classifier of images or of videos; all inputs have one size.

    Args:
        name: see `ServedModel`.
        predictor: see `ServedModel`.
        limits: see `ServedModel`.

    Attributes:
        reads: the field of requests with its files.
    """

    does, shows_attention = "classify", False
    predictor: Classifier

    def __init__(self, name: str, predictor: Classifier, limits: LimitsConfig):
        self._task: Any = predictor.task
        self.reads = self.unit = self._task.unit
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="pictures")
        self._num_read = 0
        super().__init__(name, predictor, limits)

    def described(self) -> dict[str, Any]:
        """Returns what the start page knows of the model."""
        return {**super().described(), "reads": self.reads, "side": self._task.shape[-3]}

    def can_read(self, fields: Mapping[str, Any]) -> bool:
        """Returns whether a request has files of this kind, or is one."""
        return self.reads in fields or FILE in fields

    def example_file(self) -> str:
        """Makes a file of the smallest image that the model reads, in base64."""
        height, width, _ = self._task.shape[-3:]
        file = io.BytesIO()
        Image.new("L", (width, height)).save(file, "PNG")
        return base64.b64encode(file.getvalue()).decode()

    async def inputs_of(self, fields: Mapping[str, Any]) -> list[np.ndarray]:
        """Decodes the files of a request, in a thread.

        Raises:
            RequestError: if there are too many files or pixels, or one cannot be read.
        """
        self.check_number(files := files_of(fields, self.reads))
        if self._num_read >= READ_AT_ONCE:
            raise RequestError(429, f"too many {self.unit} are waiting: try again later")
        self._num_read += 1
        try:
            async with asyncio.timeout(self.limits.seconds):
                loop = asyncio.get_running_loop()
                return await loop.run_in_executor(self._threads, self._decode, files)
        except TimeoutError as error:
            raise self.late() from error
        finally:
            self._num_read -= 1

    def answer(self, inputs: list[Any], options: Any) -> Sequence[Any]:
        """Classifies arrays of pixels."""
        return [prediction._asdict() for prediction in self.predictor.classify(inputs)]

    def sizes(self) -> list[int]:
        """There is one size."""
        return [1]

    def size_of(self, value: np.ndarray) -> int:
        """There is one size."""
        return 1

    def example(self, size: int) -> np.ndarray:
        """Makes a black image or video."""
        return np.zeros(self._task.shape, np.uint8)

    def close(self) -> None:
        """Answers what waits, takes nothing more, and returns when all is done."""
        super().close()
        self._threads.shutdown()

    def _decode(self, files: Sequence[bytes]) -> list[np.ndarray]:
        pixels, most = 0, self.limits.pixels
        for contents in files:
            pixels += self._count_pixels(contents)
            if pixels > most:
                raise RequestError(
                    413, f"the {self.unit} have more than {most:,} pixels: make them smaller"
                )
        try:
            return [self._task.read([contents]).array[0] for contents in files]
        except UserError as error:
            raise RequestError(422, str(error)) from error

    def _count_pixels(self, contents: bytes) -> int:
        try:
            return count_pixels(contents, is_clip=len(self._task.shape) == 4)
        except UnidentifiedImageError as error:
            raise RequestError(
                415, f"a file of {len(contents):,} bytes is not an image: send {_KNOWN[self.reads]}"
            ) from error
        except Image.DecompressionBombError as error:
            raise RequestError(413, f"an image is too large: {reason(error)}") from error
        except DAMAGED as error:
            raise RequestError(
                422, f"a file of {len(contents):,} bytes cannot be read: {reason(error)}"
            ) from error
