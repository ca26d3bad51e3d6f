"""Parallel text of the user's own, in two files or in columns of one: a data set without code."""

import hashlib
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import tensorflow_datasets as tfds

from flax_transformer.data.files import text_files
from flax_transformer.errors import UserError

if TYPE_CHECKING:
    from flax_transformer.data.datasets.parallel_datasets import ParallelTextConfig

SOURCE, TARGET, REFERENCES = "source", "target", "references"
HELD_OUT_SHARE, MAX_HELD_OUT = 20, 1_000  # one pair in 20, and no more than that
Texts = tuple[str, ...]  # a source, its translation, and further ones


class PairFiles(NamedTuple):
    """Where the pairs of a split are.

    Attributes:
        paths: of the source and of the target file, or of one file of pairs.
        columns: of the source and of the target, counted from 1, in a file of pairs.
        references: paths of files with further translations.
    """

    paths: tuple[str, ...]
    columns: tuple[int, int] | None = None
    references: tuple[str, ...] = ()

    def read(self) -> list[Texts]:
        """Reads the pairs, each with its further translations.

        Raises:
            UserError: if a file cannot be read, lacks a column, or has another number of lines.
        """
        if self.columns is None:
            return list(zip(*text_files.read_parallel(*self.paths, *self.references), strict=True))
        pairs = read_columns(self.paths[0], self.columns)
        further = [text_files.read_lines(path) for path in self.references]
        for path, lines in zip(self.references, further, strict=True):
            if len(lines) != len(pairs):
                raise UserError(
                    f"{self.paths[0]} has {len(pairs):,} pairs but {path} has {len(lines):,} "
                    "lines: line N of one must translate pair N of the other"
                )
        return [(*pair, *texts) for pair, *texts in zip(pairs, *further, strict=True)]


class TextFiles(tfds.core.GeneratorBasedBuilder):
    """Parallel text files; each content is a configuration of its own, prepared once."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, files: Mapping[str, PairFiles], hold_out: bool, **kwargs: Any):
        """Takes the files of each split.

        Args:
            files: by the names of the splits.
            hold_out: whether a part of train becomes validation; see `hold_out_pairs`.
            kwargs: TFDS's, such as data_dir.
        """
        self._files, self._hold_out = files, hold_out
        self._has_references = any(split.references for split in files.values())
        paths = [path for split in files.values() for path in (*split.paths, *split.references)]
        numbers = [
            (name, len(split.paths), split.columns, len(split.references))
            for name, split in files.items()
        ]
        name = text_files.contents_hash(paths, repr((numbers, hold_out)))
        super().__init__(config=tfds.core.BuilderConfig(name=name), **kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {side: tfds.features.Text() for side in (SOURCE, TARGET)}
        if self._has_references:
            features[REFERENCES] = tfds.features.Sequence(tfds.features.Text())
        return tfds.core.DatasetInfo(
            builder=self,
            description="Parallel sentences from text files.",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, dict[str, Any]]]]:
        splits = {name: files.read() for name, files in self._files.items()}
        if self._hold_out:
            pairs = splits["train"]
            splits["train"], splits["validation"] = hold_out_pairs(pairs)
            warnings.warn(
                f"no validation file is given: {len(splits['validation']):,} of "
                f"{len(pairs):,} training pairs are held out for validation",
                stacklevel=2,
            )
        return {name: self._generate_examples(texts) for name, texts in splits.items()}

    def _generate_examples(self, texts: list[Texts]) -> Iterator[tuple[int, dict[str, Any]]]:
        for index, (source, target, *references) in enumerate(texts):
            example: dict[str, Any] = {SOURCE: source, TARGET: target}
            yield index, example | ({REFERENCES: references} if self._has_references else {})


def read_columns(path: str, columns: tuple[int, int]) -> list[tuple[str, str]]:
    """Reads pairs from a file with one pair a line, in columns separated by tabs.

    Quotes are characters like others. Blank lines are left out.

    Args:
        path: of the file, which may be gzipped.
        columns: of the source and of the target, counted from 1.

    Raises:
        UserError: if it cannot be read, has no pair, or a line lacks a column.
    """
    pairs = []
    for number, line in enumerate(text_files.read_lines(path), 1):
        fields = line.split("\t")
        if not line.strip():
            continue
        if len(fields) < max(columns):
            raise UserError(
                f"{path}, line {number:,} has no column {max(columns)}, only {len(fields)}: fix "
                "the line, or give --data.source-column and --data.target-column; tabs separate "
                "columns"
            )
        pairs.append((fields[columns[0] - 1], fields[columns[1] - 1]))
    if not pairs:
        raise UserError(f"{path} has no pair: give a file with one pair a line")
    return pairs


def hold_out_pairs(pairs: Sequence[Texts]) -> tuple[list[Texts], list[Texts]]:
    """Splits pairs into those to train on and those to validate on, both in their order.

    Sources are held out, each with all its translations, in the order of their SHA-256, until one
    pair in HELD_OUT_SHARE, or MAX_HELD_OUT pairs, are held out. So no source is in both parts, and
    the choice depends only on the sources.

    Raises:
        UserError: if all pairs have one source.
    """
    counts: dict[str, int] = {}
    for source, *_ in pairs:
        counts[source] = counts.get(source, 0) + 1
    if len(counts) < 2:
        raise UserError("all training pairs have one source: give --data.validation-source FILE")
    wanted = min(max(len(pairs) // HELD_OUT_SHARE, 1), MAX_HELD_OUT)
    held_out, number = set(), 0
    for source in sorted(counts, key=lambda text: hashlib.sha256(text.encode()).digest()):
        if number >= wanted or len(held_out) == len(counts) - 1:
            break
        held_out.add(source)
        number += counts[source]
    train = [texts for texts in pairs if texts[0] not in held_out]
    return train, [texts for texts in pairs if texts[0] in held_out]


def find_pair_files(config: "ParallelTextConfig") -> dict[str, PairFiles]:
    """Gives the files of each split that a config names.

    Raises:
        UserError: if a side of a split is missing or named twice; validation and test may be
            missing as a whole.
    """
    columns = config.source_column, config.target_column
    found = {}
    for split in ("train", "validation", "test"):
        pairs = getattr(config, f"{split}_pairs")
        sides = [getattr(config, f"{split}_{side}") for side in (SOURCE, TARGET)]
        references = getattr(config, f"{split}_references", ())
        if pairs is not None and any(sides):
            raise UserError(
                f"--data.{split}-pairs and --data.{split}-source or --data.{split}-target are both "
                "given: leave the first out, or the two others"
            )
        if pairs is not None:
            found[split] = PairFiles((pairs,), columns, references)
        elif split == "train" or any(sides) or references:
            found[split] = PairFiles(_both(split, *sides), None, references)
    if not any(files.columns for files in found.values()) and columns != (1, 2):
        raise UserError(
            "--data.source-column or --data.target-column is set, but no file of pairs is given: "
            "give --data.train-pairs FILE"
        )
    return found


def _both(split: str, source: str | None, target: str | None) -> tuple[str, str]:
    for side, path in ((SOURCE, source), (TARGET, target)):
        if path is None:
            raise UserError(
                f"text_files needs {split}_{side}: give --data.{split}-{side} FILE, or both sides "
                f"in columns of one file, --data.{split}-pairs FILE"
            )
    return str(source), str(target)
