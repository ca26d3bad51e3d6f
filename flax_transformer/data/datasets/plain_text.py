"""Any text of the user's own, from a file or a folder of files: a data set without code."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds

from flax_transformer.data.datasets.text_datasets import PlainTextConfig
from flax_transformer.data.files import text_files
from flax_transformer.data.files.folders import sort_out, tell_passed_over
from flax_transformer.errors import UserError

# Of the files that are read in a folder; a file given by its name may have any ending.
ENDINGS = PlainTextConfig.ENDINGS


class PlainText(tfds.core.GeneratorBasedBuilder):
    """Documents, a file each; each content is a configuration of its own, prepared once."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, train_text: str, validation_text: str | None = None, **kwargs: Any):
        """Takes a text file, or a folder of which every .txt and .txt.gz is a document.

        Args:
            train_text: what to train on.
            validation_text: what to validate on; without it, the last tenth of each document of
                `train_text`.
            kwargs: TFDS's, such as data_dir.
        """
        given = {"train": train_text}
        if validation_text is not None:
            given["validation"] = validation_text
        self._files = {split: find_documents(path) for split, path in given.items()}
        contents = text_files.contents_hash(str(p) for files in self._files.values() for p in files)
        # Where one split's documents end is not in the contents, but makes another data set.
        name = "_".join([contents, *(str(len(files)) for files in self._files.values())])
        super().__init__(config=tfds.core.BuilderConfig(name=name), **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description="Documents from text files.",
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()}),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, str]]]]:
        texts = {split: read_documents(files) for split, files in self._files.items()}
        if "validation" not in texts:
            halves = [hold_out_end(text) for text in texts["train"]]
            texts = {"train": [a for a, _ in halves], "validation": [b for _, b in halves]}
        return {split: self._generate_examples(documents) for split, documents in texts.items()}

    def _generate_examples(self, documents: list[str]) -> Iterator[tuple[int, dict[str, str]]]:
        for index, text in enumerate(documents):
            yield index, {"text": text}


def find_documents(path: str) -> list[Path]:
    """Gives a file itself, or the text files of a folder at any depth, in natural order.

    Raises:
        UserError: if a folder holds none.
    """
    folder = Path(path).expanduser()
    if not folder.is_dir():
        return [folder]
    found, others = sort_out(folder, _is_document)
    tell_passed_over(others, folder, "text")
    if not found:
        raise UserError(f"{path} holds no .txt file: give a text file, or a folder with some.")
    return found


def _is_document(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and path.is_file()


def read_documents(paths: list[Path]) -> list[str]:
    """Reads text files.

    Raises:
        UserError: if one cannot be read or is too short to hold out a tenth of it.
    """
    texts = [text_files.read_text(path) for path in paths]
    for path, text in zip(paths, texts, strict=True):
        if len(text) < 2:
            raise UserError(f"{path} has {len(text)} characters: give text, or take the file away.")
    return texts


def hold_out_end(text: str) -> tuple[str, str]:
    """Cuts a text before its last tenth: of n characters, floor(9 n / 10) come before it.

    Example:
        >>> hold_out_end("abcdefghijklm")
        ('abcdefghijk', 'lm')
    """
    end = len(text) * 9 // 10
    return text[:end], text[end:]
