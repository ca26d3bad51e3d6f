"""What a beam search is compared with: its definition in plain Python, and all sequences."""

import itertools
from functools import partial

import jax
import numpy as np
from history_model import EOS, PAD, HistoryModel

from flax_transformer.decoding import LENGTH_PENALTIES, Hypotheses, SearchLimits, beam_search

PENALTIES = [("gnmt", 0.0), ("gnmt", 0.6), ("gnmt", 1.0), ("power", 0.6), ("power", 1.0)]


def penalty_of(name: str, alpha: float):
    return partial(LENGTH_PENALTIES[name], alpha=alpha)


def python_penalty_of(name: str, alpha: float):
    return {"gnmt": lambda n: ((5 + n) / 6) ** alpha, "power": lambda n: n**alpha}[name]


def limits_of(max_length: int, max_lengths=None) -> SearchLimits:
    """With the ids of the model of tables."""
    return SearchLimits(max_length=max_length, eos_id=EOS, pad_id=PAD, max_lengths=max_lengths)


def search_with(length_penalty, max_length, **settings):
    """The whole search as one jitted function of a model and, if wanted, of the limits."""

    @jax.jit
    def run(model: HistoryModel, max_lengths=None) -> Hypotheses:
        return beam_search(
            model.step(),
            model.cache(),
            model.prompt(),
            limits_of(max_length, max_lengths),
            length_penalty=length_penalty,
            **settings,
        )

    return run


def outputs(hypotheses: Hypotheses, example: int) -> list[tuple[int, ...]]:
    tokens, lengths = np.asarray(hypotheses.tokens), np.asarray(hypotheses.lengths)
    return [tuple(t[:n].tolist()) for t, n in zip(tokens[example], lengths[example], strict=True)]


def ranked(model, example, candidates, length_penalty):
    """Candidates by score, the best first."""
    score = {c: model.score(example, c) / length_penalty(len(c)) for c in candidates}
    return sorted(candidates, key=lambda c: -score[c]), score


def beam_search_to_the_limit(
    model,
    example,
    limit,
    beam_size,
    num_best,
    length_penalty,
    *,
    refill=False,
    rules=lambda output, log_probs: log_probs,
    ends=(EOS,),
):
    """The definition in plain Python: no early stop, every hypothesis a tuple."""
    live: dict[tuple[int, ...], float] = {(): 0.0}
    finished: dict[tuple[int, ...], float] = {}
    for length in range(1, limit + 1):
        continuations: dict[tuple[int, ...], float] = {
            (*output, token): log_prob + gained
            for output, log_prob in live.items()
            for token, gained in enumerate(rules(output, model.log_probs(example, output)))
            if gained > -np.inf
        }
        ranked = sorted(continuations, key=lambda c: -continuations[c])
        kept = ranked[:beam_size]
        unfinished = [c for c in (ranked if refill else kept) if c[-1] not in ends]
        live = {c: continuations[c] for c in unfinished[:beam_size]}
        ended = (c for c in kept if c[-1] in ends)
        finished |= {c: continuations[c] / length_penalty(length) for c in ended}
    best = sorted(finished, key=lambda c: -finished[c]) + sorted(live, key=lambda c: -live[c])
    return best[:num_best]


def all_finished(vocab: int, limit: int) -> list[tuple[int, ...]]:
    """Every sequence of at most `limit` tokens that ends in EOS and has no other."""
    others = [token for token in range(vocab) if token != EOS]
    return [
        (*start, EOS)
        for length in range(limit)
        for start in itertools.product(others, repeat=length)
    ]
