"""The file of a trained model's class names, in the order of the class numbers."""

import json
from pathlib import Path

from flax_transformer.errors import UserError
from flax_transformer.whole_files import written_whole


def save_class_names(path: Path, names: tuple[str, ...]) -> None:
    """Writes the names to the file.

    Raises:
        UserError: if the file holds other names or another order.
    """
    if path.exists() and read_class_names(path) != names:
        raise UserError(
            f"the classes of the data, or their order, are not those of {path}: train into "
            "another --workdir"
        )
    with written_whole(path) as file:
        text = json.dumps(names, ensure_ascii=False, indent=2)
        file.write_text(text + "\n", encoding="utf-8")


def read_class_names(path: Path) -> tuple[str, ...]:
    """Reads the names from the file.

    Raises:
        UserError: if the file cannot be read.
    """
    try:
        return tuple(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read {path} ({error}): restore the file, or train again into an empty workdir"
        ) from error
