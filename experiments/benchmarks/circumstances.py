"""Common output of the benchmarks: a description of the machine, and progress.

    python experiments/benchmarks/circumstances.py

prints the description as JSON, with the libraries and the driver of an accelerator.
"""

import json
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import jax

from flax_transformer.evaluation.report import environment

# Packages of accelerators, of which a machine has some.
ACCELERATOR_PACKAGES = (
    "jaxlib",
    "jax-cuda12-plugin",
    "jax-cuda13-plugin",
    "nvidia-cudnn-cu12",
    "nvidia-cudnn-cu13",
    "libtpu",
)
NVIDIA_SMI = "nvidia-smi --query-gpu=name,driver_version,memory.total,power.limit --format=csv"


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


def accelerator() -> dict[str, Any]:
    """Describes an accelerator: libraries, memory that JAX may use, and NVIDIA's driver."""
    memory = jax.local_devices()[0].memory_stats() or {}
    return circumstances(filter(_is_installed, ACCELERATOR_PACKAGES)) | {
        "backend": jax.default_backend(),
        "memory_bytes": memory.get("bytes_limit"),
        "nvidia_smi": _nvidia_smi(),
    }


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _nvidia_smi() -> list[str]:
    """The lines of NVIDIA's tool; none without its driver."""
    try:
        done = subprocess.run(NVIDIA_SMI.split(), capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return []
    return done.stdout.splitlines()


if __name__ == "__main__":
    print(json.dumps(accelerator(), indent=2))
