"""One function for the three searches, chosen by a config."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PRNGKeyArray

from flax_transformer.decoding.beam import beam_search
from flax_transformer.decoding.generation import greedy_search
from flax_transformer.decoding.hypotheses import Hypotheses, SearchLimits, Step
from flax_transformer.decoding.length_penalty import LENGTH_PENALTIES
from flax_transformer.decoding.processors import LogitsProcessor, make_processor
from flax_transformer.decoding.sampling import sample
from flax_transformer.errors import check_number, option, refuse, unknown, unknown_part
from flax_transformer.functional.cache import Cache

Method = Literal["greedy", "beam", "sample"]
Beam = Literal["shrink", "refill"]
LARGEST_PENALTY = 1000.0  # of repetition; beyond, products with logits would overflow


@dataclass(frozen=True)
class DecodingConfig:
    """Options of the search; the defaults are those of Vaswani et al. 2017, section 6.1."""

    method: Method = "beam"
    """Take the most probable token, search with a beam, or draw at random."""
    beam_size: int = 4
    """Hypotheses that a beam search keeps at each step."""
    beam: Beam = "shrink"
    """What takes the place of a hypothesis that ends: nothing in this step (shrink), or the next
    best one that does not end (refill, as in Hugging Face)."""
    length_penalty: str = "gnmt"
    """Divisor of log-probabilities in a beam search: ((5 + length) / 6)^alpha (gnmt), or
    length^alpha (power)."""
    alpha: float = 0.6
    """Strength of the length penalty; 0 is none, larger values favor longer outputs."""
    max_extra_length: int = 50
    """Maximum number of tokens of a translation beyond its source, or of a continuation."""
    num_best: int = 1
    """Outputs for each input: at most beam_size, 1 with greedy, any number of samples."""
    temperature: float = 1.0
    """In sampling: below 1 favors the most probable tokens, above 1 makes others more likely."""
    top_k: int | None = None
    """Sample only from the k most probable tokens."""
    top_p: float | None = None
    """Sample only from the most probable tokens that together have this probability."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens that occurred before less probable, as in Hugging Face: positive scores
    are divided by it, negative ones multiplied. A beam search ranks by the result. Tokens of a
    prompt count, those of a source do not."""
    no_repeat_ngram_size: int = 0
    """Size of n-grams that may not occur twice, as in Hugging Face; 0 allows all. Tokens of a
    prompt count, those of a source do not."""
    min_length: int = 0
    """Minimum number of tokens before the end mark, as in Hugging Face. Tokens of the prompt and
    the begin mark of a translation count, the end mark does not."""
    stop: tuple[str, ...] = ()
    """A string that ends an output just before it; may be given several times."""

    def __post_init__(self) -> None:
        """Rejects values with which no search can run, and rules that no output can follow."""
        if self.method not in get_args(Method):
            raise unknown("--decoding.method", self.method, get_args(Method))
        if self.beam not in get_args(Beam):
            raise unknown("--decoding.beam", self.beam, get_args(Beam))
        if self.length_penalty not in LENGTH_PENALTIES:
            raise unknown_part("--decoding.length-penalty", self.length_penalty, LENGTH_PENALTIES)
        for name in ("beam_size", "num_best", "max_extra_length", "top_k"):
            if (number := getattr(self, name)) is not None:
                check_number(option(f"decoding.{name}"), number)
        check_number("--decoding.no-repeat-ngram-size", self.no_repeat_ngram_size, 0)
        check_number("--decoding.min-length", self.min_length, 0)
        refuse(self._mistakes())

    def _mistakes(self) -> Iterator[tuple[bool, str]]:
        yield (
            not 0 < self.temperature < math.inf,
            f"--decoding.temperature must be positive, not {self.temperature}: for 0 give "
            "--decoding.method greedy",
        )
        yield (
            not 0 <= self.alpha < math.inf,
            f"--decoding.alpha must be 0 or positive, not {self.alpha}",
        )
        yield (
            self.top_p is not None and not 0 < self.top_p <= 1,
            f"--decoding.top-p must be in (0, 1], not {self.top_p}",
        )
        yield (
            not 1 / LARGEST_PENALTY <= self.repetition_penalty <= LARGEST_PENALTY,
            f"--decoding.repetition-penalty is {self.repetition_penalty}: give 1 for none, or "
            f"at least {1 / LARGEST_PENALTY} and at most {LARGEST_PENALTY:g}",
        )
        yield (
            isinstance(self.stop, str) or "" in self.stop,
            f"--decoding.stop {self.stop!r:.60} is not a tuple of non-empty texts",
        )
        most = {"greedy": 1, "beam": self.beam_size}.get(self.method, self.num_best)
        way = "raise --decoding.beam-size" if self.method == "beam" else "give another method"
        yield (
            self.num_best > most,
            f"{self.num_best} outputs are asked for (--n-best, --num-samples or "
            f"--decoding.num-best), but --decoding.method {self.method} finds at most {most}: "
            + way,
        )


def search(
    config: DecodingConfig,
    step: Step,
    cache: Cache,
    prompt: Int[Array, "batch prompt_length"],
    limits: SearchLimits,
    *,
    rng: PRNGKeyArray | Key[Array, " batch"] | None = None,
    num_halvings: int = 0,
) -> Hypotheses:
    """Runs the search that the config names.

    Args:
        config: the search and its options.
        step: reads tokens; see `Step`.
        cache: of length 0 with history leaves [batch, ...] that have room for the prompt and
            limits.max_length - 1 tokens.
        prompt: [batch, prompt_length], read in one pass.
        limits: how long hypotheses may be, and which ids end and fill them.
        rng: random key, or one for each example; needed by sampling.
        num_halvings: only for a beam search; see `beam_search`.

    Returns:
        config.num_best hypotheses for each example.

    Raises:
        ValueError: if the method is "sample" without an rng, or limits.max_lengths is not of shape
            [batch].
    """
    if config.method == "greedy":
        run = greedy_search
    elif config.method == "beam":
        run = partial(
            beam_search,
            beam_size=config.beam_size,
            refill=config.beam == "refill",
            num_best=config.num_best,
            num_halvings=num_halvings,
            length_penalty=partial(LENGTH_PENALTIES[config.length_penalty], alpha=config.alpha),
        )
    elif rng is not None:
        run = partial(
            sample,
            rng=rng,
            num_samples=config.num_best,
            temperature=config.temperature,
            top_k=config.top_k,
            top_p=config.top_p,
        )
    else:
        raise ValueError("sampling needs a random key: pass rng")
    step = _without(limits.never_written, step)
    return run(step, cache, prompt, limits, processor=_processor(config, prompt, limits))


def _without(tokens: tuple[int, ...], step: Step) -> Step:
    """Returns a step in which some tokens have probability 0."""
    if not tokens:
        return step

    def without(read: Array, cache: Cache) -> tuple[Array, Cache]:
        logits, cache = step(read, cache)
        return logits.at[..., jnp.array(tokens)].set(-jnp.inf), cache

    return without


def _processor(
    config: DecodingConfig, prompt: Int[Array, "batch prompt_length"], limits: SearchLimits
) -> LogitsProcessor | None:
    """Returns the config's rules for next tokens; None if it has none."""
    min_lengths = None
    if config.min_length:
        prompt_lengths = limits.prompt_lengths
        if prompt_lengths is None:
            prompt_lengths = (prompt != limits.pad_id).sum(axis=1, dtype=jnp.int32)
        min_lengths = config.min_length - prompt_lengths
    return make_processor(
        prompt,
        repetition_penalty=config.repetition_penalty,
        no_repeat_ngram_size=config.no_repeat_ngram_size,
        min_lengths=min_lengths,
        eos_id=limits.end_ids,
        pad_id=limits.pad_id,
    )


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """Returns the text before the first stop string, or the whole text if there is none.

    Args:
        text: an output.
        stop: strings that end it; they are not part of the result.

    Returns:
        The beginning of the text.

    Example:
        >>> cut_at_stop("one, two. three", [".", ", "])
        'one'
    """
    return text[: min((text.index(string) for string in stop if string in text), default=len(text))]
