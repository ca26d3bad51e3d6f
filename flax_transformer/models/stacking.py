"""Converts variables of single layers to stacked ones for `scan_layers`, and back."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax

from flax_transformer.models.layer_stack import stack, unstack

SIDES = ("encoder", "decoder")
LAYER_NAME = re.compile(rf"({'|'.join(SIDES)})_\d+")


def stack_layers(variables: Mapping[str, Any], period: int = 1) -> dict[str, Any]:
    """Converts the variables of a model without `scan_layers` to those of the model with it.

    Args:
        variables: collections of variables; encoder_0, encoder_1, ... and decoder_0, ... hold one
            layer each, also within a part of the model.
        period: the config's `LayerOptions.period`: the number of layers after which their options
            repeat.

    Returns:
        The collections with encoder and decoder instead of single layers. Their arrays
        [num_layers, ...] hold all layers. If a period has several layers, they are
        encoder/layers_0, encoder/layers_1, ... with arrays [num_layers / period, ...]. Everything
        else is unchanged.

    Raises:
        ValueError: if the variables have no such layers, one is missing between others, they are
            not a multiple of the period, or layers differ in names, shapes or types.

    Example:
        >>> import jax.numpy as jnp
        >>> bias = {"encoder_0": {"bias": jnp.zeros(3)}, "encoder_1": {"bias": jnp.ones(3)}}
        >>> stack_layers({"params": bias})["params"]["encoder"]["bias"].shape
        (2, 3)
    """
    stacked = {name: _stack(period, name, inner) for name, inner in variables.items()}
    if not any(_has_layers(collection) for collection in variables.values()):
        raise ValueError(f"no layers encoder_0 or decoder_0 to stack in {_names(variables)}")
    return stacked


def unstack_layers(variables: Mapping[str, Any]) -> dict[str, Any]:
    """Converts the variables of a model with `scan_layers` to those of the model without it.

    Args:
        variables: collections of variables; the arrays [num_layers, ...] of encoder and decoder
            hold all layers, also within a part of the model.

    Returns:
        The collections with encoder_0, encoder_1, ... and decoder_0, ... instead of stacked layers;
        everything else is unchanged.

    Raises:
        ValueError: if encoder and decoder are missing, or their arrays differ in the number of
            layers.

    Example:
        >>> import jax.numpy as jnp
        >>> stacked = {"params": {"encoder": {"bias": jnp.zeros((2, 3))}}}
        >>> list(unstack_layers(stacked)["params"])
        ['encoder_0', 'encoder_1']
    """
    if not any(_has_stacked(collection) for collection in variables.values()):
        raise ValueError(f"no encoder or decoder to unstack in {_names(variables)}")
    return {name: _unstack(name, collection) for name, collection in variables.items()}


def looped(model: Any, variables: Mapping[str, Any]) -> tuple[Any, Mapping[str, Any]]:
    """Returns the same model without `scan_layers`, and its variables."""
    if not model.config.scan_layers:
        return model, variables
    config = dataclasses.replace(model.config, scan_layers=False)
    return model.clone(config=config), unstack_layers(variables)


def _has_layers(tree: Any) -> bool:
    """Returns whether a collection or one of its parts has single layers."""
    return isinstance(tree, Mapping) and any(
        LAYER_NAME.fullmatch(key) or _has_layers(inner) for key, inner in tree.items()
    )


def _has_stacked(tree: Any) -> bool:
    """Returns whether a collection or one of its parts has stacked layers."""
    return isinstance(tree, Mapping) and any(
        key in SIDES or _has_stacked(inner) for key, inner in tree.items()
    )


def _within(
    change: Callable[[str, Any], Any], name: str, tree: Mapping[str, Any]
) -> dict[str, Any]:
    """Converts the parts of a model or of a part; a collection's other values are unchanged."""
    return {
        key: change(f"{name}/{key}", inner) if isinstance(inner, Mapping) else inner
        for key, inner in tree.items()
    }


def _stack(period: int, name: str, collection: Mapping[str, Any]) -> dict[str, Any]:
    result = _within(functools.partial(_stack, period), name, collection)
    for side in SIDES:
        found = [key for key in collection if re.fullmatch(rf"{side}_\d+", key)]
        layers = {f"{side}_{i}": collection.get(f"{side}_{i}") for i in range(len(found))}
        if not layers:
            continue
        if lacking := layers.keys() - {*found}:
            raise ValueError(f"{name}: {min(lacking)} is missing next to {', '.join(found)}")
        if len(layers) % period:
            raise ValueError(
                f"{name}: {len(layers)} layers of {side} are not a multiple of {period}"
            )
        keys = list(layers)
        by_place = [{key: layers[key] for key in keys[i::period]} for i in range(period)]
        for of_place in by_place:
            _check_same(name, of_place)
        stacked = [stack(list(of_place.values())) for of_place in by_place]
        result = {key: inner for key, inner in result.items() if key not in layers}
        of_period = {f"layers_{i}": inner for i, inner in enumerate(stacked)}
        result[side] = stacked[0] if period == 1 else of_period
    return result


def _check_same(name: str, layers: Mapping[str, Any]) -> None:
    """Rejects layers that cannot be stacked; the messages of XLA and JAX take several lines."""
    (first, expected), *others = ((key, _shapes(layer)) for key, layer in layers.items())
    for key, shapes in others:
        for path in sorted({*expected, *shapes}):
            if expected.get(path) != shapes.get(path):
                raise ValueError(
                    f"{name}: {path} is {expected.get(path, 'missing')} in {first}, but "
                    f"{shapes.get(path, 'missing')} in {key}"
                )


def _unstack(name: str, collection: Mapping[str, Any]) -> dict[str, Any]:
    result = _within(_unstack, name, collection)
    for side in SIDES:
        if side not in collection:
            continue
        layers = result.pop(side)
        numbers = {x.shape[:1] for x in jax.tree.leaves(layers)}
        if len(numbers) != 1 or numbers == {()}:
            raise ValueError(f"{name}: {side} has no one number of layers: {sorted(numbers)}")
        ((number,),) = numbers
        period = sum(re.fullmatch(r"layers_\d+", key) is not None for key in layers)
        for i, of_period in enumerate(unstack(layers, number)):
            in_order = [of_period[f"layers_{j}"] for j in range(period)] or [of_period]
            for j, layer in enumerate(in_order):
                result[f"{side}_{i * len(in_order) + j}"] = layer
    return result


def _shapes(tree: Any) -> dict[str, str]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree.leaves_with_path(tree)
    }


def _names(variables: Mapping[str, Any]) -> list[str]:
    return sorted(f"{name}/{key}" for name, inner in variables.items() for key in inner)
