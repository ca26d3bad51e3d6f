"""Several processes that make one training: they start, agree and end together.

They agree through JAX's coordination service, which runs in the first process. Unlike a sum over
devices, it may wait as long as the first process needs to prepare the data.
"""

import atexit
import contextlib
import itertools
import os
import re
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax

from flax_transformer.errors import UserError, option
from flax_transformer.training.coordination import CoordinationError, get, put
from flax_transformer.training.signs_of_life import SignsOfLife

HEARTBEAT_SECONDS = 20  # without a sign of life, after which a process counts as dead
_SECONDS_TO_JOIN = 300
_SECONDS_BEFORE_A_LINE = 10.0
_SECONDS_TO_END = 5
_numbers = itertools.count()  # of agreements: the same in all processes, as is their order


class AgreedError(UserError):
    """A mistake in one process, which ends all processes with the same line."""


def is_first() -> bool:
    """Whether this is the only process, or the one that writes and prints for all."""
    return jax.process_index() == 0


def gathered(value: Any) -> list[Any]:
    """Returns the JSON values of all processes in their order; waits for all.

    Example:
        >>> gathered({"step": 7})
        [{'step': 7}]
    """
    if jax.process_count() == 1:
        return [value]
    place = str(next(_numbers))
    put(f"{place}/{jax.process_index()}", value)
    return [get(f"{place}/{process}") for process in range(jax.process_count())]


def from_first(make: Callable[[], Any]) -> Any:
    """Returns in all processes the JSON value that the first one makes.

    Example:
        >>> from_first(lambda: 7)
        7
    """
    if jax.process_count() == 1:
        return make()
    place = str(next(_numbers))
    if is_first():
        put(place, make())
    return get(place)


@contextlib.contextmanager
def together(first_before_others: bool = False) -> Iterator[None]:
    """Ends all processes with the same line if one fails in this context.

    Args:
        first_before_others: whether the others wait until the first process has left the context.

    Raises:
        AgreedError: in every process, if one made a mistake.
    """
    if jax.process_count() == 1:
        yield
        return
    place = str(next(_numbers))
    if first_before_others and not is_first():
        _raise_agreed([get(place)])

    def settle(failure: str | None) -> list[str | None]:
        if first_before_others and is_first():
            put(place, failure)
            if failure is not None:  # the others do not begin
                return [failure]
        return gathered(failure)

    failure = None
    try:
        yield
    except UserError as error:
        failure = str(error)
    except BaseException as error:
        settle(f"process {jax.process_index()} failed ({type(error).__name__}: {error})")
        raise
    _raise_agreed(settle(failure))


def _raise_agreed(failures: list[str | None]) -> None:
    for failure in failures:
        if failure is not None:
            raise AgreedError(failure)


def check_same(settings: Mapping[str, Any]) -> None:
    """Verifies that all processes have the same settings.

    Args:
        settings: JSON values by the name of their field, such as "training.num_steps".

    Raises:
        AgreedError: naming the first option that differs, and its values.
    """
    first, *others = gathered(dict(settings))
    for process, found in enumerate(others, 1):
        for name in {**first, **found}:
            if first.get(name) != found.get(name):
                raise AgreedError(
                    f"{option(name)} is {first.get(name)!r} in process 0, but "
                    f"{found.get(name)!r} in process {process}: give all the same command"
                )


@contextlib.contextmanager
def joined(
    coordinator: str | None = None, num_processes: int | None = None, process_id: int | None = None
) -> Iterator[None]:
    """Makes this process one of several, until the context is left; JAX must not be in use yet.

    Args:
        coordinator: HOST:PORT at which the first process can be reached. Without it, JAX asks the
            cluster for all three, as under SLURM, on GKE and on Cloud TPUs.
        num_processes: how many there are.
        process_id: number of this one, from 0.

    Raises:
        UserError: if the processes do not find each other, or if another one ends early.
    """
    ending = _Ending()
    atexit.register(ending.leave)
    try:
        _initialize(coordinator, num_processes, process_id)
        with contextlib.closing(SignsOfLife(HEARTBEAT_SECONDS)):
            ending.has_joined = True
            if not is_first():
                warnings.simplefilter("ignore")
            yield
        ending.code = 0
    except BaseException as error:
        if ending.has_joined and is_of_runtime(error):
            ending.note(None)
            raise UserError(ending.explain(error)) from error
        ending.code = _exit_code(error)
        ending.note(_cause(error))
        raise


def _initialize(coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    if coordinator is not None and process_id == 0:
        _check_port(coordinator)
    waiting = threading.Timer(_SECONDS_BEFORE_A_LINE, _say_waiting, [coordinator])
    waiting.daemon = True
    waiting.start()
    try:
        jax.distributed.initialize(
            coordinator,
            num_processes,
            process_id,
            initialization_timeout=_SECONDS_TO_JOIN,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        raise _not_joined(coordinator, error) from error
    finally:
        waiting.cancel()


def _check_port(coordinator: str) -> None:
    """Rejects a port that is in use: JAX would share it, and both trainings would end."""
    port = int(coordinator.rpartition(":")[2])
    with socket.socket() as trial:
        try:
            trial.bind(("", port))
        except OSError as error:
            raise UserError(
                f"port {port} of --coordinator {coordinator} cannot be used ({error.strerror}): "
                "give another one, as another training may have it"
            ) from error


def is_of_runtime(error: BaseException) -> bool:
    """Whether an error came out of a program on devices, such as a sum that lost a process."""
    is_status = isinstance(error, ValueError) and re.match(r"[A-Z_]+: ", str(error))
    return isinstance(error, jax.errors.JaxRuntimeError) or bool(is_status)


def _exit_code(error: BaseException) -> int:
    usual = 130 if isinstance(error, KeyboardInterrupt) else 1
    return getattr(error, "exit_code", 2 if isinstance(error, UserError) else usual)


def _cause(error: BaseException) -> str:
    if isinstance(error, UserError | KeyboardInterrupt):
        return str(error) or "interrupted"
    return f"{type(error).__name__}: {error}"


def _say_waiting(coordinator: str | None) -> None:
    # JAX itself says nothing, and in the end more than one line.
    where = f" at --coordinator {coordinator}" if coordinator else ""
    print(
        f"waiting for the other processes{where}, up to {_SECONDS_TO_JOIN} s: start all of them, "
        "and check that their hosts reach each other",
        file=sys.stderr,
        flush=True,
    )


def _not_joined(coordinator: str | None, error: Exception) -> UserError:
    said = str(error).strip().splitlines()[0]
    if coordinator is None:
        return UserError(
            f"--distributed found no cluster ({said}): give --coordinator HOST:PORT, "
            "--num-processes N and --process-id I"
        )
    return UserError(
        f"--coordinator {coordinator} was not reached by all processes ({said}): start all of "
        "them, with the same --coordinator and --num-processes"
    )


class _Ending:
    """How this process ends, so that no other one ends with an error of JAX instead of its own.

    Attributes:
        code: exit code; other than 0 after an error.
        has_joined: whether the processes have found each other.
    """

    def __init__(self) -> None:
        self.code, self.has_joined = 2, False
        self._causes: dict[int, str | None] = {}

    def note(self, cause: str | None) -> None:
        """Reports the cause of an error to the others; None if another process is the cause."""
        if not self.has_joined:
            return
        self._causes[jax.process_index()] = cause
        # The first process may be the one that has ended.
        with contextlib.suppress(CoordinationError):
            put(f"end/{jax.process_index()}", cause)

    def explain(self, error: BaseException) -> str:
        """Says in one line which process has ended, when a sum over all devices has failed."""
        self._hear_others()
        others = []
        for process in range(jax.process_count()):
            if process not in self._causes:
                others.append(f"process {process} does not answer: it was killed, or is cut off")
            elif self._causes[process] is not None:
                others.append(f"process {process}: {self._causes[process]}")
        said = "; ".join(others) or str(error).splitlines()[0]
        return f"{said}; give all processes the same command again, and they continue"

    def leave(self) -> None:
        """Ends this process after an error, the first one last: with it, JAX ends all others."""
        if self.code == 0:
            return
        if self.has_joined and is_first():
            self._hear_others()
            time.sleep(0.5)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.code)

    def _hear_others(self) -> None:
        latest = time.monotonic() + _SECONDS_TO_END
        for process in range(jax.process_count()):
            if process not in self._causes:
                with contextlib.suppress(CoordinationError):
                    self._causes[process] = get(f"end/{process}", latest - time.monotonic())
