"""Examples of the data of a run, and what a model and its page answer."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.interchange.programs.page_engine import PageEngine
from flax_transformer.tasks.given_texts import CutTextWarning
from flax_transformer.tasks.task import Variables

# Tokens among which a line begins, and characters of it that a language model continues.
PIECE_LENGTH, PROMPT_LENGTH = 200, 40
# Tokens of a continuation.
LENGTH = 32


def _sources(task: Any, split: str, number: int) -> list[Any]:
    pairs, _ = task.read(split)
    return [pair.source for pair in pairs[:number]]


def _beginnings(task: Any, split: str, number: int) -> list[Any]:
    stream, _ = task.read(split)
    starts = np.linspace(0, max(len(stream) - PIECE_LENGTH, 0), number, endpoint=False).astype(int)
    pieces = (task.tokenizer.decode(stream[i + 1 : i + PIECE_LENGTH].tolist()) for i in starts)
    # The first line that begins in a piece; the piece itself may begin within a character.
    rests = (piece.partition("\n")[2].strip() or piece.strip("\ufffd") for piece in pieces)
    return [rest.partition("\n")[0][:PROMPT_LENGTH] for rest in rests]


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


def outputs_of_model(task: Any, variables: Variables, examples: Sequence[Any]) -> list[str]:
    """Returns texts or names of classes; texts are searched for greedily."""
    if not examples:
        return []
    predictor = task.predictor(variables)
    with warnings.catch_warnings():
        # The data may have longer texts than the model reads.
        warnings.simplefilter("ignore", CutTextWarning)
        if task.command == "classify":
            given = examples if task.tokenizer is not None else np.stack(examples)
            return [prediction.label for prediction in predictor.classify(given)]
        extra = task.experiment.decoding.max_extra_length
        greedy = DecodingConfig("greedy", max_extra_length=extra)
        if task.command == "translate":
            return predictor.translate(examples, greedy)
        return [texts[0] for texts in predictor.generate(examples, greedy, length=LENGTH)]


def outputs_of_page(engine: PageEngine, task: Any, examples: Sequence[Any]) -> list[str]:
    """Returns the same of the page."""
    if task.command == "classify":
        return [task.class_names[engine.classify(each).argmax()] for each in examples]
    return [engine.answer(text, LENGTH) for text in examples]
