"""Examples of the data of a run: to compare a page with the model, and to try it."""

from collections.abc import Callable
from typing import Any

import numpy as np

# Tokens of the beginning of a text that a language model continues.
PROMPT_LENGTH = 16


def _sources(task: Any, split: str, number: int) -> list[Any]:
    pairs, _ = task.read(split)
    return [pair.source for pair in pairs[:number]]


def _beginnings(task: Any, split: str, number: int) -> list[Any]:
    stream, _ = task.read(split)
    # The stream begins with an end mark.
    starts = np.linspace(1, max(len(stream) - PROMPT_LENGTH, 1), number, endpoint=False).astype(int)
    # Parts of a character at the ends of a piece would not come back.
    texts = (task.tokenizer.decode(stream[i : i + PROMPT_LENGTH].tolist()) for i in starts)
    return [text.strip("\ufffd") for text in texts]


def _inputs(task: Any, split: str, number: int) -> list[Any]:
    inputs = task.read_split(task.experiment.data, task.tokenizer, split).inputs
    # One by one, so that texts are not padded.
    taken = [inputs.take(np.array([place]))[0][0] for place in range(min(number, len(inputs)))]
    return taken if task.tokenizer is None else [task.show(ids) for ids in taken]


_OF_COMMAND: dict[str, Callable[[Any, str, int], list[Any]]] = {
    "translate": _sources,
    "generate": _beginnings,
    "classify": _inputs,
}


def first_examples(task: Any, number: int) -> list[Any]:
    """Returns texts, or pixels of images, of the split that `evaluate` scores by default.

    Args:
        task: a `Task` with its experiment.
        number: of examples, at most.

    Raises:
        UserError: if the split cannot be read.
    """
    return _OF_COMMAND[task.command](task, task.experiment.data.held_out_split, number)
