"""What a measurement was made on, and how far it is: told in the same words by every benchmark."""

import sys
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from flax_transformer.evaluation.report import environment


def device_name() -> str:
    """What programs run on; a CPU is named by its model."""
    made_on = environment()
    return made_on["processor"] if made_on["device"] == "cpu" else made_on["device"]


def describe(beside: Iterable[str] = ()) -> str:
    """One line: the device, its cores and the versions of what computes.

    Args:
        beside: further packages whose versions decide the figures.
    """
    made_on = circumstances(beside)
    versions = ", ".join(f"{name} {number}" for name, number in made_on["versions"].items())
    return f"{device_name()}, {made_on['num_cores']} cores, {versions}"


def circumstances(beside: Iterable[str] = ()) -> dict[str, Any]:
    """The same as plain data, see `flax_transformer.evaluation.report.environment`."""
    made_on = environment()
    further = {name: version(name) for name in beside}
    return made_on | {"versions": made_on["versions"] | further}


def tell(line: str) -> None:
    """Says on standard error how far it is."""
    print(line, file=sys.stderr, flush=True)
