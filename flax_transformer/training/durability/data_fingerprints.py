"""The record of a run's training files: a training never continues with changed files."""

import json
from pathlib import Path

from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.files.source_files import FileState, file_states, find_source_files
from flax_transformer.errors import UserError, option
from flax_transformer.training.checkpoints.checkpoint_contents import shortened
from flax_transformer.whole_files import written_whole


class DataFiles:
    """The user's own files of a run's data set, and their record in its workdir.

    A file that was touched or copied is accepted if its contents are the same.

    Args:
        workdir: folder of the run.
        config: config of its data set, with absolute paths.
    """

    def __init__(self, workdir: Path, config: DataConfig):
        self._workdir, self._config = workdir, config
        self._path = workdir / "data_files.json"
        self._noted = self._read()

    @property
    def is_noted(self) -> bool:
        """Whether the run has a record, as all runs begun with this version or a later one do."""
        return self._noted is not None

    def check_place(self, place: Path | None = None, given: str = "--workdir") -> None:
        """Verifies that the run does not write into a folder of its own data.

        Args:
            place: a folder that the run writes into; by default the workdir.
            given: option that gives it, for the message.

        Raises:
            UserError: naming the folder.
        """
        place = place or self._workdir
        absolute = place.absolute()
        for name in self._config.PATHS:
            folder = getattr(self._config, name)
            if folder is not None and Path(folder) in (absolute, *absolute.parents):
                raise UserError(
                    f"{given} {place} is in {option(f'data.{name}')} {folder}, "
                    f"whose files would change as the run writes: choose another {given}"
                )

    def check(self) -> None:
        """Verifies that all files are as recorded; without a record, nothing is checked.

        Raises:
            UserError: naming the files that have changed, are missing or are new.
        """
        noted = self._noted
        if noted is None:
            return
        states = file_states(find_source_files(self._config), noted)
        changed = [
            *(f"{path} is missing" for path in noted if path not in states),
            *(f"{path} is new" for path in states if path not in noted),
            *(
                f"{path} has changed"
                for path, state in states.items()
                if path in noted and not state.has_contents_of(noted[path])
            ),
        ]
        if changed:
            raise UserError(
                f"{self._workdir} was trained on other files: {shortened(changed)}; put them back "
                "as they were, or choose another --workdir to train on these"
            )

    def note(self) -> None:
        """Records the current state of the files, unless the record already has it."""
        states = file_states(find_source_files(self._config), self._noted or {})
        if states == (self._noted or {}):
            return
        with written_whole(self._path) as file:
            noted = {path: state._asdict() for path, state in states.items()}
            file.write_text(json.dumps(noted, indent=2) + "\n", encoding="utf-8")
        self._noted = states

    def _read(self) -> dict[str, FileState] | None:
        try:
            noted = json.loads(self._path.read_text(encoding="utf-8"))
            return {path: FileState(**state) for path, state in noted.items()}
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise UserError(
                f"cannot read {self._path} ({error}): delete it to accept the files as they are now"
            ) from error
