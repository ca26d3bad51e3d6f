"""Idioms that a reader stumbles over are nowhere in what people read."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
FOLDERS = ("flax_transformer", "experiments", "colabs", "docs")
PLACES = sorted(
    path
    for pattern in (
        "*.md",
        *(f"{folder}/**/*.{suffix}" for folder in FOLDERS for suffix in ("md", "py")),
    )
    for path in REPOSITORY.glob(pattern)
)
# What to write instead.
IDIOMS = {
    r"\b(is|are|was|were) no (?!longer|more\b)": "is not a",
    r"\bby chance\b": "at random",
    r"\bwhich see\b": "see",
    r"(?<!let )(?<!left )(?<!leave )(?<!leaves )\balone\b": "only",
    r"\bstands\b(?! for\b)": "is",
    r"\bin place of\b": "instead of",
    r"\b(told|tells) (?!apart)": "reported, shows, says",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\banew\b": "again",
    r"\bin its stead\b": "instead",
}
LINE_BREAK = re.compile(r"\s*\n\s*(#:?\s+|>\s+)?")


def found(text: str) -> list[str]:
    """The idioms in a text, each with the words around it, also over the ends of lines."""
    joined = LINE_BREAK.sub(" ", text)
    return [
        f"'{joined[max(0, match.start() - 40) : match.end() + 40]}': write {instead}"
        for idiom, instead in IDIOMS.items()
        for match in re.finditer(idiom, joined, re.IGNORECASE)
    ]


@pytest.mark.parametrize("path", PLACES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_text_has_none_of_the_idioms(path):
    assert not found(path.read_text("utf-8"))


@pytest.mark.parametrize(
    "text",
    ["24 is no\n# multiple of 7", "drawn by chance", "of texts alone", "it stands below"],
)
def test_an_idiom_is_found(text):
    assert found(text)


def test_ordinary_words_are_no_idioms():
    assert not found("it is no longer left alone; x stands for a token; mental, tell them apart")
