"""Where a run keeps its checkpoints: in its workdir, in another folder, or in a bucket."""

import contextlib
import importlib.util
import logging
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from etils import epath

from flax_transformer.errors import UserError, first_line
from flax_transformer.whole_files import written_whole

OPTION = "--checkpoint-dir"
BUCKETS = "gs://"
FILE = "checkpoint_dir.txt"  # in the workdir: the place, and the name of the run
MARK = "run.txt"  # in the place: the name of the run
_COMPLETE = "commit_success.txt"  # which Orbax writes last where a folder cannot be renamed
_NO_ACCESS = re.compile("UNAVAILABLE|DEADLINE_EXCEEDED|PERMISSION_DENIED|UNAUTHENTICATED|ABORTED")


class CheckpointPlace:
    """The place of a run's checkpoints, which the workdir remembers.

    Args:
        workdir: folder of the run.
        wanted: another folder or an address such as gs://bucket/run, for a run that begins; None
            for the one that the workdir remembers, or else the workdir itself.
    """

    def __init__(self, workdir: Path, wanted: str | Path | None = None):
        self._workdir, self._file = workdir, workdir / FILE
        self._wanted = None if wanted is None else _absolute(os.fspath(wanted))

    @property
    def path(self) -> epath.Path:
        """The folder that holds the folders of checkpoints."""
        noted = self._noted()
        return _opened(noted[0] if noted else self._wanted or str(self._workdir.absolute()))

    def check(self, has_begun: bool) -> None:
        """Verifies that the place is that of this run, or free if no run has begun.

        Raises:
            UserError: if it is not, or cannot be read.
        """
        noted, wanted = self._noted(), self._wanted
        kept = noted[0] if noted else str(self._workdir)
        if wanted is not None and (has_begun or noted) and wanted != kept:
            raise UserError(
                f"{self._workdir} keeps its checkpoints in {kept}, not in {OPTION} {wanted}: "
                "leave the option out, or choose another --workdir"
            )
        if noted is None and (wanted is None or has_begun):
            return
        place, run = self.path, self._run()
        with explained_access(place, "read"):
            found = _marked(place)
            is_free = found is None and not (place.exists() and any(place.iterdir()))
        if found == run if found else is_free and not has_begun:
            return
        if has_begun:
            raise UserError(
                f"{place} does not hold the checkpoints of {self._workdir}: put them back, or "
                "choose another --workdir"
            )
        whose = "holds other files" if found is None else "holds the checkpoints of another run"
        raise UserError(f"{OPTION} {place} {whose}: choose a new one")

    def claim(self) -> None:
        """Notes the place in the workdir, and the run in the place; see `check`.

        Raises:
            UserError: if the place cannot be written.
        """
        if self._noted() is None:
            if self._wanted is None:
                return
            with written_whole(self._file) as file:
                file.write_text(f"{self._wanted}\n{secrets.token_hex(8)}\n", encoding="utf-8")
        # Also if the run has begun: rights may have changed, and no step should be lost.
        with explained_access(self.path, "write into"):
            if is_on_disk(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
            (self.path / MARK).write_text(f"{self._run()}\n")

    def is_seen(self) -> bool:
        """Whether this process sees the place as the one that claimed it has left it."""
        return self._noted() is None or _marked(self.path) == self._run()

    def _run(self) -> str | None:
        noted = self._noted()
        return noted and noted[1]

    def _noted(self) -> tuple[str, str] | None:
        """The place and the name of the run; None without another place."""
        try:
            place, run = self._file.read_text(encoding="utf-8").split("\n")[:2]
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise UserError(
                f"cannot read {self._file} ({first_line(error)}): its first line is the place of "
                f"the checkpoints, its second that of {MARK} there"
            ) from error
        return place, run


def is_on_disk(path: os.PathLike[str]) -> bool:
    """Whether a path is one of this host's file systems, and not an address.

    Example:
        >>> is_on_disk(epath.Path("/shared/runs")), is_on_disk(epath.Path("gs://bucket/runs"))
        (True, False)
    """
    return "://" not in os.fspath(path)


def complete_steps(folder: epath.Path) -> list[int]:
    """The steps of the complete checkpoints in a folder, the oldest first.

    On a disk, a checkpoint gets its name when it is complete. In a bucket, where nothing can be
    renamed as a whole, a file that is written last says so.
    """
    if not folder.is_dir():
        return []
    is_complete = lambda path: is_on_disk(path) or (path / _COMPLETE).exists()  # noqa: E731
    named = [path for path in folder.iterdir() if path.name.isdecimal()]
    return sorted(int(path.name) for path in named if is_complete(path))


@contextlib.contextmanager
def explained_access(path: epath.Path, doing: str) -> Iterator[None]:
    """Turns errors of a file system, or any of a bucket's libraries, into one line.

    Args:
        path: that is used.
        doing: the verb before it, for the message.
    """
    try:
        yield
    # Also raised if another process has ended, which says nothing about the place.
    except (UserError, RuntimeError):
        raise
    except Exception as error:
        if is_on_disk(path) and not isinstance(error, OSError):
            raise
        advice = (
            "make the folder writable, or choose another place"
            if is_on_disk(path)
            else "check the address, and that this host may use it (gcloud auth "
            "application-default login)"
        )
        raise UserError(f"cannot {doing} {path} ({first_line(error)}): {advice}") from error


def has_no_access(path: epath.Path, error: Exception) -> bool:
    """Whether an error says that a bucket does not answer, and nothing about its contents."""
    is_known = isinstance(error, ConnectionError | TimeoutError | PermissionError)
    return not is_on_disk(path) and (is_known or bool(_NO_ACCESS.search(str(error))))


def move_aside(path: epath.Path) -> str:
    """Moves a checkpoint out of the folder of checkpoints; returns its new place."""
    folder = path.parent.parent / "damaged"
    folder.mkdir(exist_ok=True)
    if not folder.exists():  # a bucket has no empty folders
        (folder / "about.txt").write_text("checkpoints that could not be read\n")
    number = sum(other.name.partition(".")[0] == path.name for other in folder.iterdir())
    aside = folder / f"{path.name}.{number}"
    path.rename(aside)
    return str(aside)


def _absolute(place: str) -> str:
    """Returns a folder as an absolute path; addresses are checked."""
    if "://" not in place:
        return str(Path(place).expanduser().absolute())
    if not re.fullmatch(rf"{BUCKETS}[^/\s]+(/[^/\s]+)+/?", place):
        raise UserError(
            f"{OPTION} {place} is neither a folder nor an address such as {BUCKETS}BUCKET/RUN, "
            "the only kind that Orbax reads: give one of them"
        )
    return place.rstrip("/")


def _opened(place: str) -> epath.Path:
    """Returns the path of a place, whose library must be installed."""
    if place.startswith(BUCKETS):
        # etils uses TensorFlow where it is installed.
        if not any(map(importlib.util.find_spec, ("gcsfs", "tensorflow"))):
            raise UserError(
                f"{place} is read by the package gcsfs, which is not installed: run pip install "
                "'flax_transformer[gcs]'"
            )
        from fsspec.config import conf

        # gcsfs logs every error before raising it.
        logging.getLogger("gcsfs").setLevel(logging.CRITICAL)
        # TensorStore writes past gcsfs, which would not find new files in lists it remembers.
        conf.setdefault("gcs", {}).setdefault("use_listings_cache", False)
    return epath.Path(place)


def _marked(place: epath.Path) -> str | None:
    """Returns the name of the run that claimed a place."""
    mark = place / MARK
    return mark.read_text().strip() if mark.exists() else None
