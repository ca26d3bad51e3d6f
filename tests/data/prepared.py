"""How tests prepare a data set and read all that is in it."""

from typing import Any


def read_splits(builder: Any) -> dict[str, list[dict[str, Any]]]:
    """Prepares a data set where it has not been, and gives the examples of its splits."""
    builder.download_and_prepare()
    return {split: list(builder.as_data_source(split)) for split in builder.info.splits}
