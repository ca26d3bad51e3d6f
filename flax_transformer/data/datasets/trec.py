"""TREC: questions in six classes, by the kind of answer.

Reference: Li and Roth 2002, "Learning Question Classifiers".
"""

from typing import Any

from flax_transformer.data.datasets.recipe import TEXT, Recipe, labeled

# The authors' abbreviations of their coarse classes, and the class names.
CLASSES = {
    "ABBR": "abbreviation",
    "DESC": "description",
    "ENTY": "entity",
    "HUM": "human",
    "LOC": "location",
    "NUM": "number",
}
FILES = {"train": "train.txt", "test": "test.txt"}


def recipe(config: Any) -> Recipe:
    """Makes the recipe of tokenized questions and the coarse class of their answers."""
    return labeled(
        "trec_questions",
        "Questions by their answers.",
        ("text", TEXT),
        tuple(CLASSES.values()),
        _splits,
        title="TREC",
        url="https://raw.githubusercontent.com/nltk/nltk_data/gh-pages/packages/corpora/qc.zip",
        sha256={
            "train.txt": "9e4c8bdcaffb96ed61041bd64b564183d52793a8e91d84fc3a8646885f466ec3",
            "test.txt": "033f22c028c2bbba9ca682f68ffe204dc1aa6e1cf35dd6207f2d4ca67f0d0e8e",
        },
    )


def _splits(contents: dict[str, bytes]) -> dict[str, tuple[list[str], list[str]]]:
    # Spelled as in the authors' files.
    return {split: parse(contents[name].decode("latin-1")) for split, name in FILES.items()}


def parse(text: str) -> tuple[list[str], list[str]]:
    r"""Returns the questions and the class names of one of the authors' files.

    Example:
        >>> parse("NUM:date When was it ?\nHUM:ind Who was it ?\n")
        (['When was it ?', 'Who was it ?'], ['number', 'human'])
    """
    rows = [line.split(" ", 1) for line in text.removesuffix("\n").split("\n")]
    classes = [CLASSES[mark.partition(":")[0]] for mark, _ in rows]
    return [question for _, question in rows], classes
