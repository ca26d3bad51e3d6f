"""Common output of the benchmarks: a description of the machine, and progress."""

import sys
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from flax_transformer.evaluation.report import environment


def device_name() -> str:
    """The device in use; a CPU is named by its model."""
    made_on = environment()
    return made_on["processor"] if made_on["device"] == "cpu" else made_on["device"]


def describe(beside: Iterable[str] = ()) -> str:
    """Describes in one line the device, its cores and the versions of the libraries.

    Args:
        beside: further packages whose versions affect the measurements.
    """
    made_on = circumstances(beside)
    versions = ", ".join(f"{name} {number}" for name, number in made_on["versions"].items())
    return f"{device_name()}, {made_on['num_cores']} cores, {versions}"


def circumstances(beside: Iterable[str] = ()) -> dict[str, Any]:
    """The same as plain data; see `flax_transformer.evaluation.report.environment`."""
    made_on = environment()
    further = {name: version(name) for name in beside}
    return made_on | {"versions": made_on["versions"] | further}


def tell(line: str) -> None:
    """Prints progress on standard error."""
    print(line, file=sys.stderr, flush=True)
