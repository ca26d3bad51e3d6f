"""Lazy imports: the names of a package are imported on their first use."""

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def lazy_names(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Makes the functions `__getattr__` and `__dir__` of a package.

    Args:
        package: its name, `__name__`.
        homes: name -> the submodule that defines it, or that has this name.

    Returns:
        The two functions.

    Example:
        >>> get, _ = lazy_names("flax_transformer", {"UserError": ".errors", "errors": ".errors"})
        >>> get("errors").UserError is get("UserError")
        True
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = importlib.import_module(homes[name], package)
        return home if homes[name].rpartition(".")[2] == name else getattr(home, name)

    def list_names() -> list[str]:
        own = (name for name in vars(sys.modules[package]) if name.startswith("__"))
        return sorted({*homes, *own})

    return get, list_names
