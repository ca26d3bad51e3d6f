"""How tyro reads and shows the values of options: those that may be None, and lists."""

import dataclasses
from collections.abc import Callable
from functools import partial
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from tyro.conf import Positional, arg
from tyro.constructors import (
    MISSING,
    MISSING_NONPROP,
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

NONE = "None"  # as tyro shows it as a default
_POSITIONAL = get_args(Positional[str])[1]


def option_values() -> ConstructorRegistry:
    """Returns rules for `tyro.cli`, which by default shows {None}|STR and [[STR [STR ...]]]."""
    registry = ConstructorRegistry()
    registry.primitive_rule(_single_value)
    registry.struct_rule(_ReadableFields())
    return registry


def _single_value(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Reads one value of a type that also allows None, or a tuple with a value for each layer."""
    kinds = [kind for kind in _options(info.type) if kind is not NoneType]
    single = [kind for kind in kinds if get_origin(kind) is not tuple]
    if len(single) != 1:
        return None
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(single[0], info.markers))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None  # a config
    none = (NONE,) * (NoneType in get_args(info.type))
    return dataclasses.replace(
        spec,
        instance_from_str=lambda words: None if words[0] in none else spec.instance_from_str(words),
        is_instance=lambda value: True,
        str_from_instance=_words,
        choices=spec.choices and (*spec.choices, *none),
    )


def _words(value: Any) -> list[str]:
    """Writes a default; only Python code gives a tuple."""
    return list(map(str, value if isinstance(value, tuple) else (value,)))


def _options(kind: Any) -> tuple[Any, ...]:
    """The types of a union; none for any other type."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else ()


class _ReadableFields:
    """Gives the fields of a dataclass readable placeholders, and explanations without breaks."""

    def __init__(self) -> None:
        self._is_asking = False

    def __call__(self, info: StructTypeInfo) -> StructConstructorSpec | None:
        if self._is_asking:
            return None
        self._is_asking = True
        try:
            spec = ConstructorRegistry.get_struct_spec(info)
        finally:
            self._is_asking = False
        if not isinstance(spec, StructConstructorSpec):
            return None
        return dataclasses.replace(spec, fields=tuple(map(_shown, spec.fields)))


def _paragraph(text: str | Callable[[], str | None] | None) -> str | None:
    """Joins the lines of the source, which a terminal would break once more."""
    found = text() if callable(text) else text
    return found and " ".join(found.split())


def _shown(field: StructFieldSpec) -> StructFieldSpec:
    """Names a list of arguments after its field; shows None if it differs from the default."""
    field = dataclasses.replace(field, helptext=partial(_paragraph, field.helptext))
    kind, *markers = get_args(field.type) if get_origin(field.type) is Annotated else (field.type,)
    if _POSITIONAL in markers and get_origin(kind) is tuple:
        shown = arg(metavar=f"[{field.name.upper()} ...]", help_behavior_hint="")
    elif NoneType in _options(kind) and field.default not in (None, MISSING, MISSING_NONPROP):
        spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kind, set()))
        if not isinstance(spec, PrimitiveConstructorSpec):
            return field
        shown = arg(metavar=f"{spec.metavar}|{NONE}")
    else:
        return field
    return dataclasses.replace(field, type=Annotated[field.type, shown])
