"""Comparison of what CTranslate2 and our model write."""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.evaluation.metric import compute_scores, metrics_of, shown
from flax_transformer.interchange.ctranslate2.compared_texts import (
    ROWS,
    Texts,
    read_texts,
    search_here,
)
from flax_transformer.interchange.model_card import Run
from flax_transformer.interchange.programs.compared_programs import is_as_good
from flax_transformer.tasks.translation.translation_task import bleu_tokenizer

BEAM_SIZE = 4


class SearchAgreement(NamedTuple):
    """How far the outputs of one search agree.

    Attributes:
        name: of the search.
        num_equal: outputs with the same tokens.
        num_ties: of the others, those that differ first at tokens of equal probability, see
            `is_as_good`; counted for a greedy search of the same numbers, up to another one.
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
    def differs(self) -> bool:
        """Whether outputs of a greedy search differ, and not by a tie."""
        return self.greedy.num_equal + self.greedy.num_ties < self.number

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


def compare_searches(
    run: Run, engine: Engine, num_texts: int, *, is_rounded: bool = False
) -> Agreement:
    """Searches greedily and with a beam in two systems.

    Args:
        run: the model.
        engine: the same model.
        num_texts: texts of the validation split to read, at most.
        is_rounded: whether its numbers are not ours.
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
        ties = 0 if is_rounded or decoding != plain else _num_ties(run, texts, ours, theirs)
        found.append(_agreement(run, texts, SearchAgreement(name, 0, ties), (ours, theirs)))
    return Agreement(len(texts.ids), texts.origin, *found)


def _agreement(
    run: Run, texts: Texts, search: SearchAgreement, outputs: tuple[list[list[int]], ...]
) -> SearchAgreement:
    """Adds equal outputs and scores to what is known of a search."""
    ours, theirs = outputs
    num_equal = sum(mine == other for mine, other in zip(ours, theirs, strict=True))
    search = search._replace(num_equal=num_equal)
    if texts.references is None:
        return search
    best, known = run.experiment.training.score, metrics_of("hypotheses")
    score = best if best in known else known[0]
    values = tuple(_score(run, score, texts.references, several) for several in outputs)
    return search._replace(score=score, values=values)


def _num_ties(run: Run, texts: Texts, ours: list[list[int]], theirs: list[list[int]]) -> int:
    """Counts different outputs up to the first that is not a tie."""
    triples = zip(texts.ids, ours, theirs, strict=True)
    different = [triple for triple in triples if triple[1] != triple[2]]
    return sum(1 for _ in itertools.takewhile(lambda triple: _is_tie(run, *triple), different))


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
