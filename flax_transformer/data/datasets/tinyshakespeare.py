"""Tinyshakespeare: 40,000 lines of Shakespeare's plays as one text, to model its characters.

Reference: Karpathy 2015, "The Unreasonable Effectiveness of Recurrent Neural Networks"; the split
is that of Karpathy 2022, nanoGPT, data/shakespeare_char.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow_datasets as tfds

from flax_transformer.data.datasets.plain_text import hold_out_end
from flax_transformer.data.datasets.published import Published, PublishedDataset


class Tinyshakespeare(PublishedDataset):
    """The text in two pieces: its first nine tenths to train on, the last to validate."""

    VERSION = tfds.core.Version("1.0.0")
    PUBLISHED: ClassVar = Published(
        title="tinyshakespeare",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare",
        sha256={"input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
    )

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Plays of Shakespeare as one text.",
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, str]]]]:
        text = self._contents(dl_manager)["input.txt"].decode("utf-8")
        train, validation = hold_out_end(text)
        return {
            "train": self._generate_examples(train),
            "validation": self._generate_examples(validation),
        }

    def _generate_examples(self, text: str) -> Iterator[tuple[int, dict[str, str]]]:
        yield 0, {"text": text}
