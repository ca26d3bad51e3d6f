"""Data sets that are made once by TFDS: what their examples are, and how they are made."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from flax_transformer.data.datasets.prepared import open_prepared
from flax_transformer.data.datasets.published import Published, read_published
from flax_transformer.data.datasets.split import Split

LABEL = "label"
TEXT = tfds.features.Text()
Examples = Iterable[Mapping[str, Any]]


class Recipe(NamedTuple):
    """How the examples of a data set are made.

    Attributes:
        name: of the folder of the prepared data set.
        description: one sentence.
        features: TFDS's, by the names of the parts of an example.
        splits: gives the examples of each split, of the contents of the published files.
        published: the files; None of a data set that is made without files.
        variant: name of the folder of one of several variants.
    """

    name: str
    description: str
    features: dict[str, Any]
    splits: Callable[[dict[str, bytes]], Mapping[str, Examples]]
    published: Published | None = None
    variant: str | None = None


def labeled(
    name: str,
    description: str,
    inputs: tuple[str, Any],
    class_names: Sequence[str],
    splits: Callable[[dict[str, bytes]], Mapping[str, tuple[Iterable[Any], Iterable[Any]]]],
    published: Published | None = None,
) -> Recipe:
    """Makes the recipe of labeled examples.

    Args:
        name: of the folder.
        description: one sentence.
        inputs: their name (text, image or video) and TFDS's feature of them.
        class_names: in the order of the classes' numbers.
        splits: gives the inputs and the labels, numbers or class names, of each split.
        published: the files, if there are any.
    """
    key, feature = inputs

    def examples(contents: dict[str, bytes]) -> dict[str, Examples]:
        return {
            split: ({key: one, LABEL: label} for one, label in zip(*both, strict=True))
            for split, both in splits(contents).items()
        }

    label = tfds.features.ClassLabel(names=list(class_names))
    return Recipe(name, description, {key: feature, LABEL: label}, examples, published)


def pixels(*shape: int) -> Any:
    """Gives the feature of images or videos of one size, kept as their pixels, without loss.

    TFDS's own Image would need TensorFlow to write them.
    """
    return tfds.features.Tensor(shape=shape, dtype=np.uint8, encoding="zlib")


def open_recipe(recipe: Recipe, config: Any, split: str) -> Split:
    """Opens a split of a data set, making the data set first if this has not been done.

    Raises:
        UserError: if there is no such split, or the files cannot be had.
    """
    return open_prepared(
        config,
        split,
        lambda: builder_of(recipe, config),
        is_fetched=recipe.published is not None,
    )


def builder_of(recipe: Recipe, config: Any) -> "tfds.core.DatasetBuilder":
    """Gives TFDS's builder of a recipe, of which nothing is prepared yet."""
    variant = recipe.variant and tfds.core.BuilderConfig(name=recipe.variant)
    return _Builder(
        recipe,
        config.manual_dir,
        config=variant,
        data_dir=config.data_dir,
        file_format="array_record",
    )


class _Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Writes the examples of a recipe."""

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, recipe: Recipe, manual_dir: str | None, **kwargs: Any):
        vars(self)["name"] = recipe.name  # of this one, not of the class
        self._recipe, self._manual_dir = recipe, manual_dir
        super().__init__(**kwargs)

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=self._recipe.description,
            features=tfds.features.FeaturesDict(self._recipe.features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, Any]]]:
        published = self._recipe.published
        contents = published and read_published(published, self._manual_dir, dl_manager)
        splits = self._recipe.splits(contents or {})
        return {split: self._generate_examples(examples) for split, examples in splits.items()}

    def _generate_examples(self, examples: Examples) -> Iterator[tuple[int, Any]]:
        yield from enumerate(examples)
