"""Devices that XLA simulates on a CPU, and the threads they need."""

import os
import re
from typing import Any

import jax


def spare_threads() -> int:
    """Lets simulated devices wait for each other without waiting for ever; for programs only.

    Devices are simulated with XLA_FLAGS=--xla_force_host_platform_device_count=N or
    JAX_NUM_CPU_DEVICES=N. XLA then makes one thread for each device or core, whichever are more.
    A device that waits in a sum over devices holds a thread, and may wait for one whose work is
    queued behind it: on a busy machine that ends in "Expected 8 threads to join the rendezvous".
    Two threads for each device prevent it. To be called before JAX finds its devices; what NPROC
    already says stays.

    Returns:
        The number of simulated devices; 1 if there are none.
    """
    settings: Any = jax.config  # whose fields JAX makes as it starts
    flags = os.environ.get("XLA_FLAGS", "")
    asked = re.findall(r"--xla_force_host_platform_device_count=(\d+)", flags)
    num_devices = max(int(asked[-1]) if asked else 1, settings.jax_num_cpu_devices)
    if num_devices > 1:
        os.environ.setdefault("NPROC", str(max(2 * num_devices, os.cpu_count() or 1)))
    return num_devices
