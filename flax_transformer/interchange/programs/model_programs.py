"""The functions of a trained model that other systems run, of arrays by name only.

A model that writes texts is a decoder with a cache, and perhaps an encoder before it. Every other
model is one function. A search is not part of a program: it is a loop around `decode`.
"""

import copy
import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.export
import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array

from flax_transformer.errors import UserError
from flax_transformer.functional.cache import Cache, Written
from flax_transformer.functional.pooling import POOLINGS
from flax_transformer.inspection.attention_weights import by_part
from flax_transformer.inspection.names import name_of
from flax_transformer.models.stacking import looped
from flax_transformer.modules.observe import ACTIVATIONS
from flax_transformer.tasks.classification.pixel_classification import scale_pixels
from flax_transformer.tasks.task import Model, Variables
from flax_transformer.tasks.text_embedding.text_embedding_task import TextEmbeddingConfig
from flax_transformer.tasks.text_vectors import text_vectors

# Arrays by name.
Arrays: TypeAlias = Mapping[str, Any]
# (name of a program, its inputs) -> its outputs.
Runner: TypeAlias = Callable[[str, Arrays], Mapping[str, Any]]
ENCODE, DECODE = "encode", "decode"
# Begins the names of outputs that are the cache of the next call: an output of ONNX cannot have the
# name of an input.
NEW = "new_"
# Begins the names of attention weights.
ATTENTION = "attention_"


class NotHeldError(Exception):
    """Says what a format cannot hold."""


class Kind(NamedTuple):
    """The kind of an array.

    Attributes:
        axes: length of each axis, or the name of an axis of any length.
        dtype: type of its numbers.
    """

    axes: tuple[int | str, ...]
    dtype: str

    def shape(self, lengths: Mapping[str, Any]) -> tuple[Any, ...]:
        """Returns the shape for given lengths of the named axes.

        Example:
            >>> Kind(("batch", 3), "float32").shape({"batch": 7})
            (7, 3)
        """
        return tuple(lengths[axis] if isinstance(axis, str) else axis for axis in self.axes)


class Program(NamedTuple):
    """A function of a model.

    Attributes:
        function: (variables, inputs) -> outputs, where inputs and outputs are arrays by name.
        inputs: the kind of each input, in order.
        cache: inputs that are zeros at first; later they are the outputs of these names after
            `NEW`.
    """

    function: Callable[[Variables, Arrays], dict[str, Array]]
    inputs: Mapping[str, Kind]
    cache: tuple[str, ...] = ()

    def of_weights(self, weights: Arrays, inputs: Arrays) -> dict[str, Array]:
        """Calls the function with variables from `weights_of`."""
        return self.function(unflatten_dict(weights, sep="/"), inputs)

    def symbolic_inputs(self) -> dict[str, jax.ShapeDtypeStruct]:
        """Returns the inputs for a tracing in which axes have names instead of lengths."""
        kinds = self.inputs.values()
        names = dict.fromkeys(a for kind in kinds for a in kind.axes if isinstance(a, str))
        # What a cache would refuse is not traced.
        scope = jax.export.SymbolicScope(["new_length <= capacity"] * ("capacity" in names))
        lengths = jax.export.symbolic_shape(", ".join(names), scope=scope)
        of_name = dict(zip(names, lengths, strict=True))
        return {
            name: jax.ShapeDtypeStruct(kind.shape(of_name), kind.dtype)
            for name, kind in self.inputs.items()
        }


class Format(NamedTuple):
    """A form in which programs are kept.

    Attributes:
        name: value of `--format`.
        suffix: of the file of a program.
        write: writes programs and the variables into a folder; returns the versions of what wrote
            them. It raises a `NotHeldError` if it cannot.
        open: returns what runs the programs of such a folder.
        versions: those that matter to a reader.
        notes: what else a reader should know.
    """

    name: str
    suffix: str
    write: Callable[[Path, Mapping[str, Program], Variables], dict[str, Any]]
    open: Callable[[Path], Runner]
    versions: tuple[str, ...]
    notes: tuple[str, ...] = ()


def weights_of(variables: Variables) -> dict[str, np.ndarray]:
    """Returns all variables by name.

    Example:
        >>> list(weights_of({"params": {"embedding": {"table": np.zeros((2, 3))}}}))
        ['params/embedding/table']
    """
    flat = flatten_dict(variables, sep="/")
    return {str(name): np.asarray(array) for name, array in flat.items()}


def plain(task: Any, variables: Variables) -> tuple[Any, Variables]:
    """Returns the task and the variables of the same model without faster ways to compute it.

    Args:
        task: a `Task` with its experiment.
        variables: of its model.
    """
    model, variables = looped(task.model, variables)
    config = dataclasses.replace(model.config, attention_implementation="xla", remat="none")
    task = copy.copy(task)
    task.model = model.clone(config=config)
    return task, variables


def model_programs(task: Any, *, attends: bool = False) -> dict[str, Program]:
    """Returns the programs of the model of a task by name.

    A model that writes texts has `decode`, which reads one or several tokens; an encoder-decoder
    has `encode` too, whose outputs are inputs of `decode`. Any other model has one program, named
    as the command that uses the model.

    Args:
        task: a `Task` with its experiment.
        attends: whether attention weights are outputs too, as `attention_encoder` and so on; see
            `attention_weights`. The keys of `decode` are the places of its cache. The model must be
            one of `plain`.

    Raises:
        UserError: if models of another kind than ours read or write texts in another way.
    """
    model: Model = task.model
    reads, gives = task.takes
    writes = gives in ("target_tokens", "next_tokens")
    if reads not in ("tokens", "images", "videos") or (writes and reads != "tokens"):
        raise UserError(
            f"a model from {reads} to {gives} has no programs: give --format transformers"
        )
    apply = functools.partial(_apply_and_attend if attends else _apply, model)
    if gives == "target_tokens":
        decoder = _decoder(model, model.config.num_decoder_layers, apply)
        return {ENCODE: _encoder(model, apply), DECODE: decoder}
    if gives == "next_tokens":
        return {DECODE: _decoder(model, model.config.num_layers, apply)}
    of_input = _of_texts if reads == "tokens" else _of_pixels
    return {task.command: of_input(task, apply)}


# (variables, inputs of the model, its method among them) -> (its result, further outputs by name).
Apply: TypeAlias = Callable[..., tuple[Any, dict[str, Array]]]


def _apply(
    model: Model, variables: Variables, *inputs: Any, **options: Any
) -> tuple[Any, dict[str, Array]]:
    return model.apply(variables, *inputs, **options), {}


def _apply_and_attend(
    model: Model, variables: Variables, *inputs: Any, **options: Any
) -> tuple[Any, dict[str, Array]]:
    """Applies a model, and returns its attention weights too."""
    result, stored = model.apply(variables, *inputs, **options, mutable=[ACTIVATIONS])
    observed: dict[Any, Any] = flatten_dict(stored.get(ACTIVATIONS, {}))
    named = {name_of(path): value for path, value in observed.items()}
    parts = by_part(named, batch=inputs[0].shape[0])
    return result, {ATTENTION + part: weights for part, weights in parts.items()}


def _of_texts(task: Any, apply: Apply) -> Program:
    """The function of a model that reads whole texts."""
    model, settings = task.model, task.experiment.task

    def function(variables: Variables, inputs: Arrays) -> dict[str, Array]:
        tokens, segments = inputs["tokens"], inputs["segments"]
        if isinstance(settings, TextEmbeddingConfig):
            pool = POOLINGS[settings.pooling]
            given = {"pool": pool, "normalize": settings.normalize}
            return {"vectors": text_vectors(model, variables, tokens, segments, **given)}
        logits, more = apply(variables, tokens, segments=segments, method=task.method)
        return {"logits": logits, **more}

    return Program(function, _text("length"))


def _of_pixels(task: Any, apply: Apply) -> Program:
    """The function of a model that reads images or videos of one size, with pixels of 0 to 255."""
    reads, config = task.takes[0], task.model.config
    frames = (config.num_frames,) if reads == "videos" else ()
    axes = ("batch", *frames, *config.image_size, config.num_channels)

    def function(variables: Variables, inputs: Arrays) -> dict[str, Array]:
        pixels = scale_pixels(inputs[reads])
        logits, more = apply(variables, pixels, method=task.method)
        return {"logits": logits, **more}

    return Program(function, {reads: Kind(axes, "uint8")})


def _encoder(model: Model, apply: Apply) -> Program:
    """The encoder, and every decoder layer's projection of its output to keys and values."""

    def function(variables: Variables, inputs: Arrays) -> dict[str, Array]:
        options = {"segments": inputs["segments"], "method": model.start}
        # No room: the caller makes the cache of the target.
        cache, more = apply(variables, inputs["tokens"], 1, **options)
        memories, memory_mask = cache.context
        return _layers("memory_", memories) | {"memory_mask": memory_mask, **more}

    return Program(function, _text("source_length"))


def _decoder(model: Model, num_layers: int, apply: Apply) -> Program:
    """The step of a decoder over a cache; its first one reads the whole prompt."""
    has_memory = hasattr(model, "encode")

    def function(variables: Variables, inputs: Arrays) -> dict[str, Array]:
        written = _written("", inputs, num_layers)
        context = None
        if has_memory:
            context = (_written("memory_", inputs, num_layers), inputs["memory_mask"])
        cache = Cache(inputs["length"], inputs["history"], context, written)
        options = {"is_token": inputs["is_token"], "method": model.decode}
        (logits, cache), more = apply(variables, inputs["tokens"], cache, **options)
        own = {"length": cache.length, "history": cache.history, **_layers("", cache.written)}
        return {"logits": logits, **more} | {NEW + name: array for name, array in own.items()}

    def written_kinds(prefix: str, length: str) -> dict[str, Kind]:
        config = model.config
        heads = config.num_key_value_heads or config.num_heads
        key_dim, value_dim = config.head_dims()
        key = Kind(("batch", heads, key_dim, length), config.dtype)
        value = Kind(("batch", heads, length, value_dim), config.dtype)
        return _layers(prefix, [Written(key, value)] * num_layers)  # pyright: ignore

    cache = {"length": Kind((), "int32"), "history": Kind(("batch", "capacity"), "bool")}
    cache |= written_kinds("", "capacity")
    new = ("batch", "new_length")
    inputs = {"tokens": Kind(new, "int32"), "is_token": Kind(new, "bool"), **cache}
    if has_memory:
        inputs |= written_kinds("memory_", "source_length")
        inputs["memory_mask"] = Kind(("batch", 1, "source_length"), "bool")
    return Program(function, inputs, tuple(cache))


def _text(length: str) -> dict[str, Kind]:
    """The inputs of a text: its tokens, and segments, which are 1 at tokens and 0 at padding."""
    return dict.fromkeys(("tokens", "segments"), Kind(("batch", length), "int32"))


def _layers(prefix: str, written: Sequence[Written]) -> dict[str, Any]:
    """Names the keys and values of every layer."""
    return {
        f"{prefix}{name}_{number}": array
        for number, layer in enumerate(written)
        for name, array in layer._asdict().items()
    }


def _written(prefix: str, arrays: Arrays, num_layers: int) -> tuple[Written, ...]:
    """The inverse of `_layers`."""
    return tuple(
        Written(*(arrays[f"{prefix}{name}_{number}"] for name in Written._fields))
        for number in range(num_layers)
    )
