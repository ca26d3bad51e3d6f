"""Data sets that TFDS prepares: found by their name, prepared once, and opened as a `Split`."""

import contextlib
import difflib
import hashlib
import io
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from flax_transformer.data.data_config import DataConfig, data_root, split_option
from flax_transformer.data.datasets.published import read_published
from flax_transformer.data.datasets.recipe import Examples, Recipe
from flax_transformer.data.datasets.split import Split
from flax_transformer.data.files.records import (
    INFO,
    check_info,
    check_infos,
    check_shards,
    damaged,
    read_records,
)
from flax_transformer.data.parallel_text_config import check_languages
from flax_transformer.errors import UserError, unknown, unknown_part

Read = Callable[[Mapping[str, Any]], dict[str, Any]]
# The usual name of the inputs, and their number of axes.
INPUTS = {"labeled_text": ("text", 0), "image": ("image", 3), "video": ("video", 4)}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses the output of TFDS.

    TFDS prints to standard output, where translations may be printed, and warns about our names.
    """
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        absl.setLevel(level)


@quiet()
def open_prepared(
    config: DataConfig, split: str, build: Callable[[], Any], *, is_fetched: bool
) -> Split:
    """Opens a split of a TFDS data set, preparing the data set first if necessary.

    Args:
        config: config with the name of the data set.
        split: a name such as "test", or a part of a split such as "train[:1000]".
        build: makes the builder.
        is_fetched: whether the data set has files to download; others are generated here.

    Raises:
        UserError: if the split or language does not exist, or the files are not available.
    """
    builder = _prepare(config, build, is_fetched)
    read, class_names = _reader(config, builder.info.features)
    source = _open_source(config, builder, split)
    folder = Path(builder.data_path)
    # `tfds.testing.mock_data` has no folder.
    info = (folder / INFO).read_bytes() if folder.exists() else b""
    languages = [getattr(config, f"{side}_language", "") for side in ("source", "target")]
    digest = hashlib.sha256(info + repr(languages).encode())
    return Split(
        split,
        len(source),
        lambda: map(read, read_records(source, folder)),
        folder,
        digest.hexdigest(),
        class_names,
    )


def find_published(config: DataConfig, own: Collection[str]) -> Any:
    """Returns the builder of a TFDS data set by its name, such as wmt14_translate/de-en.

    Args:
        config: config with the name of the data set.
        own: names of our own data sets of this kind.

    Raises:
        UserError: if TFDS does not have the data set, or this variant of it.
    """
    import tensorflow_datasets.translate  # noqa: F401  # registers the older data sets

    name, _, variant = config.dataset.partition("/")
    name = name.partition(":")[0]  # without the version
    # Our own data sets have no variants, and TFDS explains the form of a name in many lines.
    if name in own or not (name.isascii() and name.isidentifier()):
        raise unknown_part("--data.dataset", config.dataset, own)
    try:
        return tfds.builder(config.dataset, data_dir=config.data_dir, file_format="array_record")
    except tfds.core.DatasetNotFoundError:
        near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False))
        raise unknown_part("--data.dataset", config.dataset, {*own, *near}) from None
    except (ValueError, AssertionError):  # AssertionError for a wrong version
        check_infos(data_root(config) / name)
        variants = tfds.builder_cls(name).builder_configs
        raise unknown(f"variant of --data.dataset {name}", variant, variants) from None


def _prepare(config: DataConfig, build: Callable[[], Any], is_fetched: bool) -> Any:
    try:
        builder = build()
    except UserError:
        raise
    except Exception:
        check_infos(data_root(config))
        raise
    if config.kind == "pair":
        _pair_keys(config, builder.info.features)  # rejects a wrong language before the download
    if builder.data_path.exists():
        check_info(Path(builder.data_path))
        return builder
    logging.getLogger(__name__).info("preparing %s in %s", config.dataset, builder.data_dir)
    tfds.disable_progress_bar()
    options = tfds.download.DownloadConfig(manual_dir=config.manual_dir)
    try:
        builder.download_and_prepare(download_config=options)
    except (OSError, ImportError, AssertionError, tfds.download.DownloadError) as error:
        if builder.data_path.exists():  # another process finished first
            return build()
        advice = (
            "if it cannot be downloaded here, fetch its files elsewhere and give --data.manual-dir"
            if is_fetched
            else "give a folder that can be written to as --data.data-dir"
        )
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(f"cannot prepare {config.dataset} ({reason}): {advice}") from error
    return builder


def _open_source(config: DataConfig, builder: Any, split: str) -> Any:
    """Opens the records of TFDS; rejects an unknown split, or one with damaged files."""
    folder = Path(builder.data_path)
    try:
        source = builder.as_data_source(split)
        len(source)  # a part that ends before it begins has a negative length: a ValueError
    except NotImplementedError:
        raise UserError(
            f"{builder.data_dir} was prepared without random access: give another --data.data-dir"
        ) from None
    except ValueError:
        if split in builder.info.splits:
            raise damaged(folder, f"its {split} cannot be found") from None
        raise unknown_split(config, split, builder.info.splits) from None
    if folder.exists():  # `tfds.testing.mock_data` has no folder
        check_shards(builder, split)
    return source


def unknown_split(config: DataConfig, split: str, known: Collection[str]) -> UserError:
    """Creates the error for a split that does not exist, or an impossible part of one."""
    name, bracket, _ = split.partition("[")
    if bracket and name in known:
        return UserError(
            f"'{split}' is not a part of {config.dataset}'s {name}, or one without an example: "
            f"give one such as '{name}[:1000]' or '{name}[10%:20%]'"
        )
    return unknown(f"{split_option(config, split)} of {config.dataset}", split, known)


def _reader(config: Any, features: Any) -> tuple[Read, tuple[str, ...]]:
    """Returns the function that converts a TFDS record to our record, and the class names."""
    if config.kind == "pair":
        source, target = _pair_keys(config, features)
        return lambda record: {"source": _text(record[source]), "target": _text(record[target])}, ()
    if config.kind == "text":
        return lambda record: {"text": _text(record["text"])}, ()
    labels = [k for k, kind in features.items() if isinstance(kind, tfds.features.ClassLabel)]
    name = _input_name(config, features, labels)
    label = "label" if "label" in labels else labels[0]
    usual, num_axes = INPUTS[config.kind]
    feature = features[name]
    change = _resize(config, feature.shape, feature.np_dtype) if num_axes else _text
    names = tuple(features[label].names)
    return lambda record: {usual: change(record[name]), "label": int(record[label])}, names


def _pair_keys(config: Any, features: Any) -> tuple[str, str]:
    """Returns the features of the two sides; rejects languages that the data set does not have."""
    if {"source", "target"} <= set(features):
        return "source", "target"
    check_languages(config, features)
    return config.source_language, config.target_language


def _input_name(config: DataConfig, features: Any, labels: list[str]) -> str:
    """Returns the one feature of the kind, or of several the one with the usual name."""
    usual, num_axes = INPUTS[config.kind]
    inputs = [
        name
        for name, kind in features.items()
        if name not in (*labels, "id", "idx")
        and isinstance(kind.shape, tuple)  # the shape of a dictionary is not a tuple
        and len(kind.shape) == num_axes
        and (num_axes > 0 or isinstance(kind, tfds.features.Text))
    ]
    if usual in inputs:
        inputs = [usual]
    if len(inputs) != 1 or not (len(labels) == 1 or "label" in labels):
        raise UserError(
            f"{config.dataset} has the inputs {inputs} and the labels {labels}: choose a data set "
            "with one of each"
        )
    return inputs[0]


def _resize(
    config: Any, shape: tuple[int | None, ...], dtype: Any
) -> Callable[[np.ndarray], np.ndarray]:
    """Makes the function that converts examples to 8 bits and one size; None is a varying size."""
    from flax_transformer.data.files.image_files import fit, from_array

    is_image = len(shape) == 3 and shape[-1] in (1, 3, 4)
    if None not in shape and dtype == np.uint8:
        return lambda pixels: pixels
    if not is_image or dtype not in (np.uint8, np.uint16):
        raise UserError(
            f"{config.dataset} has examples {shape} of {np.dtype(dtype)}, which are not images of "
            "8 or 16 bits: put them into folders and give --data.dataset image_folders or "
            "video_folders"
        )
    height, width = (config.image_size if size is None else size for size in shape[:2])
    channels = 1 if shape[-1] == 1 else 3
    return lambda pixels: fit(from_array(pixels), height, width, channels, config.background)


def _text(value: bytes | str) -> str:
    # TFDS returns bytes, but its `mock_data` returns text.
    return value.decode() if isinstance(value, bytes) else value


def open_recipe(recipe: Recipe, config: Any, split: str) -> Split:
    """Opens a split of a data set, creating the data set first if necessary.

    Raises:
        UserError: if the split does not exist, or the files are not available.
    """
    return open_prepared(
        config,
        split,
        lambda: builder_of(recipe, config),
        is_fetched=bool(recipe.sha256),
    )


def builder_of(recipe: Recipe, config: Any) -> "tfds.core.DatasetBuilder":
    """Returns TFDS's builder of a recipe, before anything is prepared."""
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
        vars(self)["name"] = recipe.name  # of this instance, not of the class
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
        recipe, contents = self._recipe, {}
        if recipe.sha256:
            contents = read_published(recipe, self._manual_dir, dl_manager)
        splits = recipe.splits(contents)
        return {split: self._generate_examples(examples) for split, examples in splits.items()}

    def _generate_examples(self, examples: Examples) -> Iterator[tuple[int, Any]]:
        yield from enumerate(examples)
