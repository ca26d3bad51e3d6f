"""Messages to users have one style: full options, and no final period."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import flax_transformer

PACKAGE = Path(flax_transformer.__file__).parent
UNKNOWN = {"unknown", "unknown_part", "unknown_path"}
MAKERS = {"UserError", *UNKNOWN, "check_number", "check_positive", "warn"}
FINAL_PERIOD = re.compile(r"[^.]\.$")  # shapes such as "rows ..." are not messages
PARTS = "data|model|task|training|optimizer|decoding"
BARE = re.compile(rf"(?<![-\w/])({PARTS})\.([a-z_]|\{{\}})")


def test_messages_name_full_options_and_have_no_final_period():
    messages = [
        (f"{path.relative_to(PACKAGE)}, line {line}", text)
        for path in PACKAGE.rglob("*.py")
        for line, text in _messages(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert len(messages) > 200, "the messages must be found"
    mistaken = [f"{place}: {text}" for place, text in messages if _is_mistaken(text)]
    assert not mistaken, "\n".join(mistaken)


@pytest.mark.parametrize(
    "call",
    [
        'UserError("give another file.")',
        'UserError(f"{path} is empty: " f"give {another}.")',
        'UserError("a" if short else "give text.")',
        'UserError(f"data.max_length {length} is too small")',
        'unknown("model.pooling", name, known)',
        'check_number(f"training.{name}", value)',
        'warnings.warn("skipped a file.")',
        'refuse([(True, "model.num_heads is odd")])',
    ],
)
def test_mistaken_messages_are_found(call):
    ((_, text),) = [found for found in _messages(ast.parse(call)) if _is_mistaken(found[1])]
    assert text


# What `unknown` may name besides an option: the words of a file or of a request, or names that
# Python code gives.
NOT_OPTIONS = re.compile(
    r"command$|experiment file$|kind$|config of a task$|part of attention$|class$|.* in \{\}|"
    r"activation$|stack of layers$|field of a request$"
)


def test_an_unknown_name_is_reported_with_its_option():
    kinds = [
        (f"{path.relative_to(PACKAGE)}, line {line}", text)
        for path in PACKAGE.rglob("*.py")
        for line, text in _given_to(ast.parse(path.read_text(encoding="utf-8")), UNKNOWN)
    ]
    assert len(kinds) > 20, "the calls must be found"
    unnamed = [f"{place}: {text}" for place, text in kinds if not _names_an_option(text)]
    assert not unnamed, "\n".join(unnamed)
    assert not _names_an_option("language of {}")


def _names_an_option(text: str) -> bool:
    return "--" in text or text.startswith("{} of ") or NOT_OPTIONS.match(text) is not None


def _is_mistaken(text: str) -> bool:
    return FINAL_PERIOD.search(text) is not None or BARE.search(text) is not None


def _messages(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yields the line and the text of messages, in which {} is a value."""
    yield from _given_to(tree, MAKERS)
    for node in ast.walk(tree):
        # The mistakes that `refuse` reads: pairs of a condition and a message.
        if isinstance(node, ast.Tuple) and len(node.elts) == 2:
            yield from ((node.lineno, text) for text in _texts(node.elts[1]) if " " in text)


def _given_to(tree: ast.Module, makers: set[str]) -> Iterator[tuple[int, str]]:
    """Yields the line and the text of the first arguments of calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in makers:
                yield from ((node.lineno, text) for text in _texts(node.args[0]))


def _texts(node: ast.expr) -> Iterator[str]:
    """Yields the literal texts of an expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
        yield "".join(map(str, parts))
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))
