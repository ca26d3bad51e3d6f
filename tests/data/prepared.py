"""How tests read all that is in a data set."""

from typing import Any

from flax_transformer.data.datasets.datasets import open_split, read_pairs


def read_splits(config: Any, *names: str) -> dict[str, list[Any]]:
    """Gives the records of some splits, a text as one string."""
    return {name: [_whole(record) for record in open_split(config, name)] for name in names}


def read_texts(config: Any, split: str) -> list[tuple[str, str]]:
    """Gives the sources and targets of a split."""
    return [(pair.source, pair.target) for pair in read_pairs(config, split)]


def _whole(record: Any) -> dict[str, Any]:
    is_parts = "text" in record and not isinstance(record["text"], str)
    return dict(record) | ({"text": "".join(record["text"])} if is_parts else {})
