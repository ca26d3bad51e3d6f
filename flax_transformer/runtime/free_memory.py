"""The memory that a process can still take."""

from pathlib import Path

MEMINFO = Path("/proc/meminfo")


def free_memory() -> int | None:
    """Returns the bytes that can be taken without swapping; None where the system does not say.

    Reference:
        proc_meminfo(5), MemAvailable.
    """
    if not MEMINFO.exists():
        return None
    fields = dict(line.split(":", 1) for line in MEMINFO.read_text().splitlines())
    if "MemAvailable" not in fields:
        return None
    return 1024 * int(fields["MemAvailable"].split()[0])
