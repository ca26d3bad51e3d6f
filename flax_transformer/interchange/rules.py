"""Rules between our parameters and the tensors of another system, each read in both directions."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from einops import rearrange

Shape = tuple[int, ...]


class Rule(NamedTuple):
    """One or several of our parameters, and the tensors of the other system that hold them.

    Attributes:
        ours: paths of our parameters, such as "decoder_0/feed_forward/hidden/kernel". If there are
            several, the right side of the pattern begins with an axis that counts them.
        theirs: names of their tensors. If there are several, the left side of the pattern begins
            with an axis that counts them.
        pattern: the axes of theirs, an arrow, and the axes of ours, as for `einops.rearrange`;
            empty if they are the same.
        part: the part of a model that the rule belongs to, such as a head that a folder may lack;
            empty for what every folder has.

    Example:
        >>> rule = Rule("query/kernel", "q_proj.weight", "(heads d) i -> i heads d")
        >>> to_ours(rule, [np.zeros((6, 5))], {"heads": 2})[0].shape
        (5, 2, 3)
    """

    ours: str | tuple[str, ...]
    theirs: str | tuple[str, ...]
    pattern: str = ""
    part: str = ""

    def our_names(self) -> tuple[str, ...]:
        """Returns the paths of our parameters."""
        return (self.ours,) if isinstance(self.ours, str) else self.ours

    def their_names(self) -> tuple[str, ...]:
        """Returns the names of their tensors."""
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs


def expand(rules: Iterable[Rule], number: int) -> list[Rule]:
    """Repeats rules for every layer: {i} in their names is the number of the layer.

    Example:
        >>> [rule.ours for rule in expand([Rule("layer_{i}/bias", "h.{i}.bias")], 2)]
        ['layer_0/bias', 'layer_1/bias']
    """

    def named(names: str | tuple[str, ...], i: int) -> str | tuple[str, ...]:
        if isinstance(names, str):
            return names.replace("{i}", str(i))
        return tuple(name.replace("{i}", str(i)) for name in names)

    return [
        rule._replace(ours=named(rule.ours, i), theirs=named(rule.theirs, i))
        for i in range(number)
        for rule in rules
    ]


def affine(ours: str, theirs: str, bias: bool = True, part: str = "") -> list[Rule]:
    """Returns the rules of a layer whose kernel they hold as [outputs, inputs]."""
    kernel = Rule(f"{ours}/kernel", f"{theirs}.weight", "o i -> i o", part)
    return [kernel, Rule(f"{ours}/bias", f"{theirs}.bias", part=part)] if bias else [kernel]


def norm(ours: str, theirs: str, bias: bool = True, part: str = "") -> list[Rule]:
    """Returns the rules of a normalization."""
    scale = Rule(f"{ours}/scale", f"{theirs}.weight", part=part)
    return [scale, Rule(f"{ours}/bias", f"{theirs}.bias", part=part)] if bias else [scale]


def attention(
    ours: str, theirs: Sequence[str], bias: bool = True, output_bias: bool = True
) -> list[Rule]:
    """Returns the rules of attention.

    Args:
        ours: path of our module.
        theirs: names of their layers of queries, keys, values and outputs, without ".weight".
        bias: whether the projections have biases.
        output_bias: whether the last one has one too.
    """
    rules = []
    for name, layer, heads in zip(
        ("query", "key", "value"), theirs, ("heads", "groups", "groups"), strict=False
    ):
        pattern = f"({heads} d) i -> i {heads} d"
        rules.append(Rule(f"{ours}/{name}/kernel", f"{layer}.weight", pattern))
        if bias:
            pattern = f"({heads} d) -> {heads} d"
            rules.append(Rule(f"{ours}/{name}/bias", f"{layer}.bias", pattern))
    rules.append(Rule(f"{ours}/output/kernel", f"{theirs[3]}.weight", "o (heads d) -> heads d o"))
    if bias and output_bias:
        rules.append(Rule(f"{ours}/output/bias", f"{theirs[3]}.bias"))
    return rules


def to_ours(
    rule: Rule, tensors: Sequence[np.ndarray], sizes: Mapping[str, int]
) -> Sequence[np.ndarray]:
    """Converts the tensors of a rule to our arrays.

    Args:
        rule: a rule with tensors.
        tensors: theirs, in the order of the rule.
        sizes: lengths of axes that the pattern splits.
    """
    array = _rearranged(tensors, rule.pattern, sizes)
    return [array] if isinstance(rule.ours, str) else list(array)


def to_theirs(
    rule: Rule, arrays: Sequence[np.ndarray], sizes: Mapping[str, int]
) -> Sequence[np.ndarray]:
    """Converts our arrays of a rule to their tensors: the inverse of `to_ours`."""
    theirs, arrow, ours = rule.pattern.partition("->")
    tensor = _rearranged(arrays, ours + arrow + theirs, sizes)
    return [tensor] if isinstance(rule.theirs, str) else list(tensor)


def _rearranged(arrays: Sequence[np.ndarray], pattern: str, sizes: Mapping[str, int]) -> np.ndarray:
    array = arrays[0] if len(arrays) == 1 else np.stack(arrays)
    if not pattern.strip():
        return array
    used = {name: size for name, size in sizes.items() if re.search(rf"\b{name}\b", pattern)}
    return rearrange(array, pattern, **used)


def their_shapes(
    rules: Iterable[Rule], ours: Mapping[str, Shape], sizes: Mapping[str, int]
) -> dict[str, Shape]:
    """Computes the shapes that their tensors must have.

    Args:
        rules: of the model.
        ours: shapes of our parameters.
        sizes: lengths of axes that patterns merge or split.

    Example:
        >>> rule = Rule(("q", "k"), "qk.weight", "i (two d) -> two i d")
        >>> their_shapes([rule], {"q": (5, 3), "k": (5, 3)}, {})
        {'qk.weight': (5, 6)}
    """
    shapes = {}
    for rule in rules:
        # One number seen as an array of any shape needs no memory.
        names, number = rule.our_names(), np.zeros((), np.int8)
        shape = ours[names[0]] if len(names) == 1 else (len(names), *ours[names[0]])
        tensor = to_theirs(rule, [np.broadcast_to(number, shape)], sizes)
        shapes |= {n: x.shape for n, x in zip(rule.their_names(), tensor, strict=True)}
    return shapes


def read(
    rules: Iterable[Rule], theirs: Mapping[str, np.ndarray], sizes: Mapping[str, int]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the path and the value of each of our parameters.

    Args:
        rules: of the model.
        theirs: their tensors, each of which is looked up once.
        sizes: lengths of axes that patterns merge or split.
    """
    for rule in rules:
        arrays = to_ours(rule, [theirs[name] for name in rule.their_names()], sizes)
        yield from zip(rule.our_names(), arrays, strict=True)


def write(
    rules: Iterable[Rule], ours: Mapping[str, np.ndarray], sizes: Mapping[str, int]
) -> Iterator[tuple[str, np.ndarray]]:
    """Yields the name and the value of each of their tensors: the inverse of `read`.

    Args:
        rules: of the model.
        ours: our parameters, each of which is looked up once.
        sizes: lengths of axes that patterns merge or split.
    """
    for rule in rules:
        tensors = to_theirs(rule, [ours[name] for name in rule.our_names()], sizes)
        yield from zip(rule.their_names(), tensors, strict=True)
