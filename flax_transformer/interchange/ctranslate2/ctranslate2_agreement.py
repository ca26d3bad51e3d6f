"""Comparison of what CTranslate2 and our model write."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.evaluation.metric import compute_scores, metrics_of, shown
from flax_transformer.interchange.model_card import Run
from flax_transformer.interchange.programs.compared_programs import is_as_good
from flax_transformer.tasks.row_search import SearchRows
from flax_transformer.tasks.translation.translation_task import bleu_tokenizer

BEAM_SIZE = 4
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


class SearchAgreement(NamedTuple):
    """How far the outputs of one search agree.

    Attributes:
        name: of the search.
        num_equal: outputs with the same tokens.
        num_ties: outputs that differ first at tokens of equal probability, see `is_as_good`.
        score: name of a score of texts; None without references.
        values: of ours and of theirs.
    """

    name: str
    num_equal: int
    num_ties: int
    score: str | None = None
    values: tuple[float, ...] = ()


class Agreement(NamedTuple):
    """How far the outputs of two systems agree.

    Attributes:
        number: of texts.
        origin: of the texts, in words.
        greedy: of greedy search.
        beam: of a beam search.
    """

    number: int
    origin: str
    greedy: SearchAgreement
    beam: SearchAgreement

    @property
    def num_different(self) -> int:
        """Outputs of a greedy search that differ, and not by a tie."""
        return self.number - self.greedy.num_equal - self.greedy.num_ties

    def lines(self) -> list[str]:
        """Returns lines for a reader."""
        found = [f"compared with the model on {self.number} {self.origin}:"]
        for search in (self.greedy, self.beam):
            ties = f", {search.num_ties} more after a tie" * (search.num_ties > 0)
            line = f"  {search.name}: {search.num_equal} of {self.number} outputs equal{ties}"
            if search.score is not None:
                here, there = (shown(search.score, value) for value in search.values)
                line += f"; {search.score} {here} here, {there} there"
            found.append(line)
        return found


class Engine:
    """A folder of CTranslate2 that is loaded once.

    Args:
        package: ctranslate2.
        folder: written by `write_engine`.
        tokenizer: ours of the model.
        names: of the ids.
        is_translator: whether it has an encoder.
    """

    def __init__(
        self,
        package: Any,
        folder: Path,
        tokenizer: Tokenizer,
        names: Sequence[str],
        is_translator: bool,
    ):
        kind = package.Translator if is_translator else package.Generator
        self._engine, self._is_translator = kind(str(folder)), is_translator
        self._tokenizer, self._names = tokenizer, names
        self._ids = {name: number for number, name in enumerate(names)}

    def search(self, texts: Texts, never_written: Sequence[int], **options: Any) -> list[list[int]]:
        """Returns the ids of the best output for each text, without its prompt and end mark.

        Args:
            texts: sources or prompts.
            never_written: ids that are not written.
            **options: arguments of its search.
        """
        options["end_token"] = [self._names[number] for number in self._tokenizer.end_ids]
        options["suppress_sequences"] = [[self._names[number]] for number in never_written] or None
        found: dict[int, list[int]] = {}
        places = sorted(range(len(texts.ids)), key=texts.limits.__getitem__)
        # The limit is an argument of a whole call.
        for limit, group in itertools.groupby(places, texts.limits.__getitem__):
            group = list(group)
            tokens = [[self._names[number] for number in texts.ids[place]] for place in group]
            call = self._translate if self._is_translator else self._generate
            found |= zip(group, call(tokens, limit, options), strict=True)
        return [found[place] for place in range(len(texts.ids))]

    def _translate(self, tokens: Any, limit: int, options: Any) -> list[list[int]]:
        _, *forced = (self._names[number] for number in self._tokenizer.start_ids)
        given = {"max_decoding_length": limit, "min_decoding_length": 0, "max_input_length": 0}
        prefix = [forced] * len(tokens) if forced else None
        results = self._engine.translate_batch(
            tokens, prefix, max_batch_size=ROWS, **given, **options
        )
        names = (result.hypotheses[0][len(forced) :] for result in results)
        return [[self._ids[name] for name in output][:limit] for output in names]

    def _generate(self, tokens: Any, limit: int, options: Any) -> list[list[int]]:
        results = self._engine.generate_batch(
            tokens,
            max_batch_size=ROWS,
            max_length=limit,
            include_prompt_in_result=False,
            **options,
        )
        return [result.sequences_ids[0] for result in results]


def compare_searches(run: Run, engine: Engine, num_texts: int) -> Agreement:
    """Searches greedily and with a beam in two systems.

    Args:
        run: the model.
        engine: the same model.
        num_texts: texts of the validation split to read, at most.
    """
    texts = read_texts(run, num_texts)
    never = run.task.predictor(run.variables).never_written
    own = run.experiment.decoding
    plain = DecodingConfig("greedy", max_extra_length=own.max_extra_length)
    beam = dataclasses.replace(
        plain,
        method="beam",
        beam_size=BEAM_SIZE,
        beam=own.beam,
        length_penalty=own.length_penalty,
        alpha=own.alpha,
    )
    searches = (
        ("greedy search", plain, {"beam_size": 1}),
        (f"beam of {BEAM_SIZE}", beam, {"beam_size": BEAM_SIZE, "length_penalty": beam.alpha}),
    )
    found = []
    for name, decoding, options in searches:
        ours = search_here(run, texts, decoding)
        theirs = engine.search(texts, never, **options)
        found.append(_agreement(run, texts, name, ours, theirs))
    return Agreement(len(texts.ids), texts.origin, *found)


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


def _agreement(
    run: Run, texts: Texts, name: str, ours: list[list[int]], theirs: list[list[int]]
) -> SearchAgreement:
    pairs = list(zip(ours, theirs, strict=True))
    num_equal = sum(mine == other for mine, other in pairs)
    num_ties = sum(
        _is_tie(run, ids, mine, other)
        for ids, (mine, other) in zip(texts.ids, pairs, strict=True)
        if mine != other
    )
    if texts.references is None:
        return SearchAgreement(name, num_equal, num_ties)
    best, known = run.experiment.training.score, metrics_of("hypotheses")
    score = best if best in known else known[0]
    values = tuple(_score(run, score, texts.references, outputs) for outputs in (ours, theirs))
    return SearchAgreement(name, num_equal, num_ties, score, values)


def _is_tie(run: Run, ids: list[int], ours: list[int], theirs: list[int]) -> bool:
    """Whether two outputs of a greedy search differ first at tokens of equal probability."""
    task, ends = run.task, list(run.task.tokenizer.end_ids)
    pairs = zip(ours, theirs, strict=False)
    same = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))
    if task.takes[1] == "target_tokens":
        read = ([ids], [[*task.tokenizer.start_ids, *ours[:same]]])
    else:
        read = ([[*ids, *ours[:same]]],)
    arrays = (np.array(side, np.int32) for side in read)
    logits = np.array(task.model.apply(run.variables, *arrays))[0, -1]
    logits[list(task.predictor(run.variables).never_written)] = -np.inf
    chosen = theirs[same : same + 1] or ends
    return any(is_as_good(logits, np.array(token)) for token in chosen)


def _score(
    run: Run, name: str, references: list[tuple[str, ...]], outputs: list[list[int]]
) -> float:
    decode = run.task.tokenizer.target.decode
    pairs, _ = run.task.read(run.experiment.data.validation_split)
    scores = compute_scores(
        (name,),
        hypotheses=[decode(output) for output in outputs],
        references=references,
        tokenize=bleu_tokenizer(run.experiment, pairs),
    )
    return float(scores[name].value)
