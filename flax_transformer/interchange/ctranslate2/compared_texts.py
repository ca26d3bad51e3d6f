"""Texts that are read to compare a model with CTranslate2, and what our search writes for them."""

from typing import NamedTuple

import numpy as np

from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.interchange.model_card import Run
from flax_transformer.tasks.row_search import SearchRows

ROWS, RANDOM_LENGTH = 32, 11
# The prompt of a continuation is a quarter of what the model reads at a time.
PROMPT_SHARE = 4


class Texts(NamedTuple):
    """What both systems read.

    Attributes:
        ids: of each source or prompt.
        limits: largest number of tokens to write, for each.
        references: acceptable translations of each; None without any.
        origin: where they come from, in words.
    """

    ids: list[list[int]]
    limits: list[int]
    references: list[tuple[str, ...]] | None
    origin: str


def read_texts(run: Run, number: int) -> Texts:
    """Returns the beginning of the validation split, or random tokens if it is not there."""
    data, task, extra = run.experiment.data, run.task, run.experiment.decoding.max_extra_length
    is_translator, references = task.takes[1] == "target_tokens", None
    origin = f"texts of the split {data.validation_split}"
    try:
        content, _ = task.read(data.validation_split)
    except UserError:
        draw = np.random.default_rng(0)
        ids = draw.integers(task.tokenizer.vocab_size, size=(ROWS, RANDOM_LENGTH)).tolist()
        origin = "sequences of random tokens, as the validation split is not there"
    else:
        if is_translator:
            pairs = [pair for pair in content if pair.source.strip()][:number]
            sources = TokenizedText.encode(task.tokenizer, (pair.source for pair in pairs))
            sources = sources.cut(data.max_length)
            ids = [part.tolist() for part in np.split(sources.tokens, sources.offsets[1:-1])]
            references = [(pair.target, *pair.references) for pair in pairs]
        else:
            length = max(data.max_length // PROMPT_SHARE, 1)
            starts = np.linspace(0, len(content) - length, number, dtype=int)
            ids = [content[start : start + length].tolist() for start in starts]
    limits = [_limit(run, len(one), extra) for one in ids]
    return Texts(ids, limits, references, origin)


def _limit(run: Run, length: int, extra: int) -> int:
    """The largest number of tokens to write after a prompt, or for a source, of some length."""
    limit = run.experiment.model.position_limit()
    if run.task.takes[1] == "target_tokens":
        given = len(run.task.tokenizer.start_ids) - 1
        return min(length + extra, limit or length + extra) - given
    return max(min(extra, (limit or run.experiment.data.max_length) - length + 1), 1)


def search_here(run: Run, texts: Texts, decoding: DecodingConfig) -> list[list[int]]:
    """Returns the ids of the best output of our search for each text, without its end mark."""
    predictor = run.task.predictor(run.variables)
    ends, longest = set(run.task.tokenizer.end_ids), max(texts.limits)
    source_length = max(map(len, texts.ids))
    outputs: list[list[int]] = []
    for first in range(0, len(texts.ids), ROWS):
        # All batches have one shape, so one program is compiled.
        places = [min(first + row, len(texts.ids) - 1) for row in range(ROWS)]
        rows = _rows(run, texts, places, source_length)
        found = predictor.search(rows, decoding, longest)
        for row in range(min(ROWS, len(texts.ids) - first)):
            ids = np.asarray(found.tokens)[row, 0, : int(found.lengths[row, 0])].tolist()
            outputs.append(ids[:-1] if ids and ids[-1] in ends else ids)
    return outputs


def _rows(run: Run, texts: Texts, places: list[int], length: int) -> SearchRows:
    sources = TokenizedText.of(texts.ids[place] for place in places)
    limits = np.array([texts.limits[place] for place in places], np.int32)
    numbers = np.zeros((len(places), 1), np.uint32)
    tokens, segments = sources.pad(np.arange(len(places)), length)
    if run.task.takes[1] == "next_tokens":
        # All prompts have one length.
        return SearchRows(tokens, limits, numbers)
    prompts = np.tile(np.array(run.task.tokenizer.start_ids, np.int32), (len(places), 1))
    return SearchRows(prompts, limits, numbers, source=tokens, segments=segments)
