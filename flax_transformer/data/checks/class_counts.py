"""Classes and tags: too rare, missing, or of very different frequency."""

from collections.abc import Mapping

from flax_transformer.data.checks.findings import (
    NOTE,
    SERIOUS,
    SHOWN,
    WARNING,
    Finding,
    Kind,
    Place,
)

FEW = 10
LARGE_FACTOR = 10
RARE = Kind(
    "rare_class",
    WARNING,
    f"classes with fewer than {FEW} examples in train",
    "add examples, or join the classes with others: a model hardly learns them",
)
MISSING = Kind(
    "missing_class",
    SERIOUS,
    "classes that train does not have",
    "add examples of them to train, or remove them here: training refuses them",
)
IMBALANCE = Kind(
    "class_imbalance",
    NOTE,
    f"the largest class has over {LARGE_FACTOR} times as many examples as the smallest",
    "read macro F1 besides the accuracy; --task.class-weights balanced weights the losses",
)

Counts = Mapping[str, tuple[int, int]]
"""Name of a class -> its number of examples, and the number of the first one."""


def check_classes(counts: Counts, where: str, train: Counts | None = None) -> list[Finding]:
    """Checks the classes of a part.

    Args:
        counts: of the part.
        where: name of the part.
        train: the classes of train, if the part is another one.

    Example:
        >>> counts = {"a": (300, 1), "b": (3, 9)}
        >>> [(one.kind.name, one.count) for one in check_classes(counts, "train")]
        [('rare_class', 1), ('class_imbalance', 1)]
        >>> [one.kind.name for one in check_classes({"c": (2, 1)}, "test", counts)]
        ['missing_class']
    """
    if not counts:
        return []
    if train is not None:
        return _finding(MISSING, where, counts, [name for name in counts if name not in train])
    by_size = sorted(counts, key=lambda name: counts[name][0])
    rare = [name for name in by_size if counts[name][0] < FEW]
    smallest, largest = by_size[0], by_size[-1]
    is_unequal = counts[largest][0] > LARGE_FACTOR * counts[smallest][0]
    return [
        *_finding(RARE, where, counts, rare),
        *_finding(IMBALANCE, where, counts, [largest, smallest] if is_unequal else [], 1),
    ]


def _finding(
    kind: Kind, where: str, counts: Counts, names: list[str], count: int | None = None
) -> list[Finding]:
    places = tuple(
        Place(counts[name][1], (name,), f"examples: {counts[name][0]:,}") for name in names[:SHOWN]
    )
    count = len(names) if count is None else count
    return [Finding(kind, where, "class", count, len(counts), places)] if names else []
