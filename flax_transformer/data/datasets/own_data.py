"""Data sets of a user's own files, each identified by a digest of the contents."""

import contextlib
import dataclasses
import hashlib
import itertools
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flax_transformer.data.data_config import DataConfig, data_root, split_option
from flax_transformer.data.datasets.split import Record, Split
from flax_transformer.data.files.source_files import FileState, file_states
from flax_transformer.errors import UserError, unknown
from flax_transformer.whole_files import written_whole

VERSION = 1  # increase when the same files are processed differently
FOUND = "found.json"


def prepare_own(
    config: DataConfig, paths: Iterable[Path | str], settings: Any, scan: Callable[[], Any]
) -> tuple[Path, str, Any]:
    """Returns the folder for data prepared from files, and the result of scanning the files.

    Args:
        config: config with the name of the data set.
        paths: the files, which must exist.
        settings: plain data that, in addition to the files, determines the data set.
        scan: reads the files if necessary, and returns plain data.

    Returns:
        The folder, the digest, and the result of `scan`.

    Raises:
        UserError: if the folder cannot be written to.
    """
    root = data_root(config) / config.dataset
    digest = _digest(root, [Path(path).expanduser() for path in paths], settings)
    folder = root / digest[:16]
    # After any error in this file, it is made again.
    with contextlib.suppress(Exception):
        kept = json.loads((folder / FOUND).read_text())
        if _sha256(kept["found"]) == kept["sha256"]:
            return folder, digest, kept["found"]
    logging.getLogger(__name__).info("preparing %s in %s", config.dataset, root)
    found = scan()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with written_whole(folder / FOUND) as file:
            file.write_text(json.dumps({"found": found, "sha256": _sha256(found)}))
    except OSError as error:
        raise UserError(
            f"cannot prepare {config.dataset} ({error.strerror}): give a folder that can be "
            "written to as --data.data-dir"
        ) from error
    return folder, digest, found


def choose_split(
    config: DataConfig, splits: Mapping[str, Split], split: str, hint: str = ""
) -> Split:
    """Returns a split, or a part of one such as "train[:1000]".

    Args:
        config: config with the name of the data set.
        splits: all existing splits.
        split: name of the wanted split.
        hint: text to add to the error if the split does not exist.

    Raises:
        UserError: if the split does not exist, or the part is empty.
    """
    if split in splits:
        return splits[split]
    if split.isidentifier():
        kind = f"{split_option(config, split)} of {config.dataset}"
        raise UserError(f"{unknown(kind, split, splits)}{hint}")
    import tensorflow_datasets as tfds

    from flax_transformer.data.datasets.prepared import unknown_split

    sizes = {
        name: tfds.core.SplitInfo(name=name, shard_lengths=[len(whole)], num_bytes=0)
        for name, whole in splits.items()
    }
    try:
        parts = tfds.core.ReadInstruction.from_spec(split).to_absolute(sizes)
    except (ValueError, AssertionError, KeyError):
        raise unknown_split(config, split, splits) from None
    bounds = [(splits[part.splitname], part.from_ or 0, part.to) for part in parts]
    number = sum(len(range(len(whole))[start:end]) for whole, start, end in bounds)
    if not number:
        raise unknown_split(config, split, splits)

    def read() -> Iterator[Record]:
        for whole, start, end in bounds:
            yield from itertools.islice(whole, start, end)

    return dataclasses.replace(bounds[0][0], name=split, number=number, read=read, arrays=None)


def _digest(root: Path, files: list[Path], settings: Any) -> str:
    """Digests the contents; files read before are identified by their size and time."""
    names = _sha256([str(path.absolute()) for path in files])
    index = root / f"files-{names[:16]}.json"
    known: dict[str, FileState] = {}
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        known = {path: FileState(*state) for path, state in json.loads(index.read_text()).items()}
    states = file_states(files, known)
    if states != known:
        with contextlib.suppress(OSError):
            root.mkdir(parents=True, exist_ok=True)
            with written_whole(index) as file:
                file.write_text(json.dumps(states))
    contents = [states[str(path)].sha256 or [str(path), *states[str(path)]] for path in files]
    return _sha256([VERSION, settings, contents])


def _sha256(data: Any) -> str:
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()
