"""A published folder of a model: its config and its tensors as one of our models."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import numpy as np
from flax.traverse_util import unflatten_dict

from flax_transformer.data.files.gguf_file import SUFFIX
from flax_transformer.errors import LARGEST_NUMBER, UserError, unknown, unknown_part
from flax_transformer.interchange.config_fields import read_fields
from flax_transformer.interchange.families import FAMILIES
from flax_transformer.interchange.family import Family
from flax_transformer.interchange.gguf_models import GgufTensors, open_gguf
from flax_transformer.interchange.model_parameters import build, shapes_of
from flax_transformer.interchange.model_sources import find_model
from flax_transformer.interchange.position_tables import SCHEME, find_positions
from flax_transformer.interchange.rules import Rule, Shape, read, their_shapes
from flax_transformer.interchange.safetensors_files import FLOATS, Tensors, is_finite, read_json

CONFIG, LARGEST_CONFIG = "config.json", 1_000_000
TYPES = frozenset(FLOATS.values())
OTHER_HEADS = re.compile(r".*For(TokenClassification|QuestionAnswering|MultipleChoice)")


class PublishedModel(NamedTuple):
    """A model in a published folder, of which nothing but the headers is read.

    Attributes:
        family: the name of its family.
        settings: the contents of config.json.
        config: our config.
        module: our module.
        rules: of its tensors.
        shapes: shapes of our parameters.
        tensors: theirs, by the names that the rules have.
    """

    family: str
    settings: dict[str, Any]
    config: Any
    module: nn.Module
    rules: list[Rule]
    shapes: dict[str, Shape]
    tensors: "NamedTensors"


class NamedTensors(Mapping[str, np.ndarray]):
    """The tensors of a folder by the names that rules have, without a number that is not finite."""

    def __init__(self, tensors: Tensors | GgufTensors, names: Mapping[str, str]):
        self.tensors, self.names = tensors, names

    def __getitem__(self, name: str) -> np.ndarray:
        array = self.tensors[self.names[name]]
        if not is_finite(array):
            raise UserError(
                f"tensor {self.names[name]} of {self.tensors.places[self.names[name]].path} has "
                "numbers that are not finite: get this file again"
            )
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def files(self) -> list[str]:
        """The names of the files."""
        return sorted({place.path.name for place in self.tensors.places.values()})

    def kind(self, name: str) -> tuple[str, Shape]:
        """Returns the type and the shape of a tensor from its header."""
        place = self.tensors.places[self.names[name]]
        return place.dtype, place.shape


def open_published(folder: str | Path) -> PublishedModel:
    """Reads the config and the headers of a folder, and finds a place for each of its tensors.

    Args:
        folder: holds config.json, and model.safetensors or several such files with an index; or
            the path of a GGUF file.

    Raises:
        UserError: says in one line what is unknown, missing, without a use, or of another shape.
    """
    folder = Path(folder)
    if folder.suffix == SUFFIX and folder.is_file():
        tensors, settings = open_gguf(folder)
    else:
        tensors, settings = Tensors(folder), read_json(folder / CONFIG, LARGEST_CONFIG)
    name = settings.get("model_type")
    if name is None:
        known = ", ".join(FAMILIES)
        raise UserError(f"{folder / CONFIG} has no model_type: give it one of {known}")
    if not isinstance(name, str) or name not in FAMILIES:
        raise unknown_part(f"model_type in {folder / CONFIG}", str(name), FAMILIES)
    family = FAMILIES[name]
    refuse_other_heads(settings, folder)
    try:
        options = read_fields(family.fields, settings, family.config)
        check_counts(options, len(tensors))
        named = name_tensors(family, options, tensors)
        if family.own_logits is not None:
            options["tied_logits"] = not _has_own_logits(family, options, named)
        if family.fixed_tables:
            options["positions"] = find_positions(family, options, named, settings.get(SCHEME))
        config = family.config(**options)
        rules = family.rules(config)
        parts = {rule.part for rule in rules if set(rule.their_names()) & named.names.keys()}
        if "classes" in parts:
            parts.add("pool")  # the layer before the classes
        rules = [rule for rule in rules if rule.part in parts or not rule.part]
        sizes = _vocab_size(settings, config), _num_classes(rules, named)
        shapes = shapes_of(config, *sizes, parts)
        check_tensors(family, rules, shapes, axes_of(config), named)
    except UserError as error:
        raise UserError(f"{folder} as a {name} model: {error}") from error
    return PublishedModel(name, settings, config, build(config, *sizes), rules, shapes, named)


def refuse_other_heads(settings: Mapping[str, Any], folder: Path) -> None:
    """Rejects a model whose head is none of ours, although its tensors may have the same names."""
    named = settings.get("architectures")
    for name in named if isinstance(named, list) else []:
        if OTHER_HEADS.fullmatch(str(name)):
            raise UserError(
                f"{folder} is a {name}, which is not read: only its body is, as "
                "AutoModel.from_pretrained(DIR).save_pretrained(OUT) of transformers writes it"
            )


def parameters(
    model: str | Path, *, dtype: str | None = None, revision: str | None = None
) -> tuple[Any, nn.Module, dict[str, Any]]:
    """Reads a published model as one of our models.

    Only one tensor at a time is held in memory besides the result.

    Args:
        model: a folder, see `open_published`, or OWNER/NAME on Hugging Face's Hub.
        dtype: type of the parameters, float32, float16 or bfloat16; None keeps each tensor's.
        revision: branch, tag or commit of a model of the Hub; by default its main branch.

    Returns:
        Our config, the module, and its variables.

    Raises:
        UserError: see `open_published`; or if a number is not finite, or a model cannot be fetched.
    """
    opened = open_published(find_model(model, revision).folder)
    return opened.config, opened.module, read_parameters(opened, dtype)


def read_parameters(model: PublishedModel, dtype: str | None = None) -> dict[str, Any]:
    """Reads the variables of an opened folder; see `parameters`."""
    if dtype is not None and dtype not in TYPES:
        raise unknown("--dtype", dtype, TYPES)
    flat = {}
    for path, array in read(model.rules, model.tensors, axes_of(model.config)):
        flat[path] = _on_device(array, array.dtype if dtype is None else np.dtype(dtype))
    return {"params": unflatten_dict(flat, sep="/")}


def _on_device(array: np.ndarray, dtype: np.dtype) -> jax.Array:
    """Copies an array from its file; JAX transposes several times as fast as NumPy."""
    if array.flags.c_contiguous:
        # JAX may use a contiguous array in place, and so depend on the file.
        array = array.copy()
    return jax.device_put(array).astype(dtype)


def axes_of(config: Any) -> dict[str, int]:
    """Returns the lengths of axes that the patterns of rules merge or split."""
    sizes = {"heads": config.num_heads, "three": 3, "halves": 2}
    sizes["groups"] = config.num_key_value_heads or config.num_heads
    if config.reads == "images":
        sizes["rows"], sizes["columns"] = config.patch_size
        sizes["channels"] = config.num_channels
    return sizes


def name_tensors(
    family: Family, options: Mapping[str, Any], tensors: Tensors | GgufTensors
) -> NamedTensors:
    """Gives the tensors of a folder the names that the rules of its family have.

    Older names are replaced, and the prefix is added if the folder holds only a body.
    """
    names = {}
    for name in tensors:
        new = name
        for pattern, replacement in family.renamed.items():
            new = re.sub(pattern, replacement, new)
        names[new] = name
    if not any(name.startswith(family.prefix) for name in names):
        rules = family.rules(family.config(**options))
        known = {name for rule in rules for name in rule.their_names()}
        names = {
            family.prefix + new if family.prefix + new in known else new: name
            for new, name in names.items()
        }
    return NamedTensors(tensors, names)


def check_counts(options: Mapping[str, Any], num_tensors: int) -> None:
    """Refuses more layers or experts than a folder has tensors, before there are rules for them."""
    for name in ("num_layers", "num_encoder_layers", "num_decoder_layers", "num_experts"):
        if options.get(name, 0) > num_tensors:
            raise UserError(f"{name} is {options[name]}, but there are only {num_tensors} tensors")


def _has_own_logits(family: Family, options: Mapping[str, Any], named: NamedTensors) -> bool:
    own = family.own_logits
    if own is None or own not in named:
        return False
    rules = family.rules(family.config(**options))
    (table,) = [rule.their_names()[0] for rule in rules if rule.ours == "embedding/table"]
    if table not in named or named.kind(table) != named.kind(own):
        return True
    return not np.array_equal(named[table], named[own])


def _vocab_size(settings: Mapping[str, Any], config: Any) -> int:
    if config.reads == "images":
        return 0
    size = settings.get("vocab_size")
    if type(size) is not int or not 1 <= size <= LARGEST_NUMBER:
        raise UserError(f"vocab_size is {size}: it must be a positive number of 31 bits")
    return size


def _num_classes(rules: list[Rule], named: NamedTensors) -> int:
    for rule in rules:
        if rule.ours == "classifier/bias" and rule.their_names()[0] in named:
            return named.kind(rule.their_names()[0])[1][0]
    return 2


def check_tensors(
    family: Family,
    rules: list[Rule],
    shapes: Mapping[str, Shape],
    sizes: Mapping[str, int],
    named: NamedTensors,
) -> None:
    """Compares the headers of a folder with the parameters of our module.

    Args:
        family: of the folder.
        rules: of the parts that the folder has.
        shapes: of our parameters.
        sizes: see `axes_of`.
        named: the tensors.

    Raises:
        UserError: lists all tensors that are missing, without a use, or of another shape or type.
    """
    assert {name for rule in rules for name in rule.our_names()} == shapes.keys()
    expected = their_shapes(rules, shapes, sizes)
    problems = []
    if missing := sorted(expected.keys() - named.keys()):
        problems.append(f"missing: {', '.join(missing)}")
    unused = sorted(name for name in named.keys() - expected if not _is_known(family, name, named))
    if unused:
        problems.append(f"without a use: {', '.join(unused)}")
    for name in sorted(expected.keys() & named.keys()):
        dtype, shape = named.kind(name)
        if shape != expected[name]:
            problems.append(f"{name} has the shape {shape} instead of {expected[name]}")
        elif dtype not in FLOATS:
            problems.append(f"{name} has the type {dtype}: only {', '.join(FLOATS)} are read")
    if problems:
        raise UserError(f"{'; '.join(problems)}: get config.json and the tensors of one model")


def _is_known(family: Family, name: str, named: NamedTensors) -> bool:
    """Whether the model does not need a tensor, or has it already."""
    if any(re.fullmatch(pattern, name) for pattern in family.unused):
        return True
    if name == family.own_logits or name in family.fixed_tables:
        return True
    for pattern, original in family.copies.items():
        if re.fullmatch(pattern, name):
            same = named.kind(name) == named.kind(original)
            return same and np.array_equal(named[name], named[original])
    return False
