"""Options of a command that several processes run together."""

import contextlib
import dataclasses
import re

from flax_transformer.errors import check_number, refuse
from flax_transformer.training.processes import joined


@dataclasses.dataclass(frozen=True, kw_only=True)
class OfProcesses:
    """A command of one process, or of several that give the same command."""

    distributed: bool = False
    """This is one of several processes that a cluster starts: SLURM, GKE or Cloud TPU. JAX finds
    their number. All give the same command."""
    coordinator: str | None = None
    """HOST:PORT at which process 0 can be reached, if no cluster starts the processes."""
    num_processes: int | None = None
    """Number of processes, with --coordinator."""
    process_id: int | None = None
    """Number of this process, from 0, with --coordinator."""

    def joined(self) -> contextlib.AbstractContextManager[None]:
        """Joins the other processes until the context is left, if there are any.

        Raises:
            UserError: if the options do not fit together, or no other process answers.
        """
        numbers = {"--num-processes": self.num_processes, "--process-id": self.process_id}
        given = [name for name, value in numbers.items() if value is not None]
        missing = [name for name, value in numbers.items() if value is None]
        where = self.coordinator
        refuse(
            [
                (
                    where is None and bool(given),
                    f"{', '.join(given)} needs --coordinator HOST:PORT",
                ),
                (where is not None and bool(missing), f"--coordinator needs {', '.join(missing)}"),
                (
                    where is not None and self.distributed,
                    "--distributed finds what --coordinator gives: leave one out",
                ),
                (
                    where is not None and not re.fullmatch(r"[^\s:]+:\d{1,5}|\[.+\]:\d+", where),
                    f"--coordinator {where!r} is not HOST:PORT, such as node-0:29500",
                ),
            ]
        )
        if where is not None:
            check_number("the port of --coordinator", int(where.rpartition(":")[2]), 1, 65_535)
        if where is None and not self.distributed:
            return contextlib.nullcontext()
        if self.num_processes is not None and self.process_id is not None:
            check_number("--num-processes", self.num_processes)
            check_number("--process-id", self.process_id, 0, self.num_processes - 1)
        return joined(where, self.num_processes, self.process_id)
