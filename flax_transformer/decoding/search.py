"""One entry to the three searches, chosen by a config."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array, Int, Key, PRNGKeyArray

from flax_transformer.decoding.beam import beam_search
from flax_transformer.decoding.greedy import greedy_search
from flax_transformer.decoding.hypotheses import Hypotheses, Step
from flax_transformer.decoding.length_penalty import LENGTH_PENALTIES
from flax_transformer.decoding.processors import LogitsProcessor, make_processor
from flax_transformer.decoding.sampling import sample
from flax_transformer.decoding.search_limits import SearchLimits
from flax_transformer.errors import LARGEST_NUMBER, UserError, check_number, unknown
from flax_transformer.functional.cache import Cache

Method = Literal["greedy", "beam", "sample"]
LARGEST_PENALTY = 1000.0  # of repetition; beyond, products with logits would overflow


@dataclass(frozen=True)
class DecodingConfig:
    """How output is searched for; the defaults are those of Vaswani et al. 2017, section 6.1."""

    method: Method = "beam"
    """Take the most probable token, search with a beam, or draw at random."""
    beam_size: int = 4
    """Hypotheses that a beam search keeps at each step."""
    length_penalty: Literal["gnmt", "power"] = "gnmt"
    """What a beam search divides log-probabilities by: ((5 + length) / 6)^alpha or length^alpha."""
    alpha: float = 0.6
    """Strength of the length penalty; 0 is none, larger values favour longer outputs."""
    max_extra_length: int = 50
    """An output has at most so many tokens more than its source."""
    num_best: int = 1
    """Outputs for each input: at most beam_size, 1 with greedy, any number of samples."""
    temperature: float = 1.0
    """Of sampling: below 1 keeps closer to the most probable tokens, above 1 strays further."""
    top_k: int | None = None
    """Sample from the k most probable tokens only."""
    top_p: float | None = None
    """Sample from the fewest most probable tokens whose probabilities sum to this."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens that occurred before less probable, as in Hugging Face: positive scores
    are divided by it, negative ones multiplied. A beam search ranks by the result. Tokens of a
    prompt count, those of a source do not."""
    no_repeat_ngram_size: int = 0
    """No sequence of so many tokens occurs twice, as in Hugging Face; 0 allows all. Tokens of a
    prompt count, those of a source do not."""
    min_length: int = 0
    """Least number of tokens before the end mark, as in Hugging Face: those of the prompt and the
    begin mark of a translation are counted, the end mark is not."""
    stop: tuple[str, ...] = ()
    """A string that ends an output just before it; may be given several times."""

    def __post_init__(self) -> None:
        """Refuses values with which no search can run."""
        if self.method not in get_args(Method):
            raise unknown("method", self.method, get_args(Method))
        if self.length_penalty not in LENGTH_PENALTIES:
            raise unknown("length_penalty", self.length_penalty, LENGTH_PENALTIES)
        for name in ("beam_size", "num_best", "max_extra_length", "top_k"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}: give at least 1.")
            if value is not None and value > LARGEST_NUMBER:
                raise UserError(f"{name} is {value}: give at most {LARGEST_NUMBER:,}.")
        self._check_rules()
        for name in ("alpha", "temperature"):
            if not math.isfinite(getattr(self, name)):
                raise UserError(f"{name} is {getattr(self, name)}: give a finite number.")
        if self.alpha < 0:
            raise UserError(f"alpha is {self.alpha}: give at least 0, which is no length penalty.")
        if self.temperature <= 0:
            raise UserError(
                f"temperature is {self.temperature}: give more than 0, or method 'greedy'."
            )
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise UserError(f"top_p is {self.top_p}: give more than 0 and at most 1.")
        most = {"greedy": 1, "beam": self.beam_size}.get(self.method, self.num_best)
        if self.num_best > most:
            raise UserError(
                f"{self.num_best} outputs are asked for (--n-best, --num-samples or "
                f"--decoding.num-best), but --decoding.method {self.method} finds at most {most}: "
                + (
                    "raise --decoding.beam-size"
                    if self.method == "beam"
                    else "give --decoding.method beam or sample"
                )
            )

    def _check_rules(self) -> None:
        """Refuses rules that no output can follow."""
        if not 1 / LARGEST_PENALTY <= self.repetition_penalty <= LARGEST_PENALTY:
            raise UserError(
                f"--decoding.repetition-penalty is {self.repetition_penalty}: give 1 for none, or "
                f"at least {1 / LARGEST_PENALTY} and at most {LARGEST_PENALTY:g}"
            )
        for name in ("no_repeat_ngram_size", "min_length"):
            option = f"--decoding.{name.replace('_', '-')}"
            check_number(option, getattr(self, name), 0)
        if isinstance(self.stop, str):
            raise UserError(
                f"--decoding.stop is one string, {self.stop!r:.60}: give a tuple of strings"
            )
        if "" in self.stop:
            raise UserError("--decoding.stop has an empty string, which ends every output: omit it")


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
        config: which search, and how.
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
        ValueError: if the method is "sample" and there is no rng, or limits.max_lengths is not of
            shape [batch].
    """
    if config.method == "greedy":
        run = greedy_search
    elif config.method == "beam":
        run = partial(
            beam_search,
            beam_size=config.beam_size,
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
    return run(step, cache, prompt, limits, processor=_processor(config, prompt, limits))


def _processor(
    config: DecodingConfig, prompt: Int[Array, "batch prompt_length"], limits: SearchLimits
) -> LogitsProcessor | None:
    """The config's rules for next tokens; None if it has none."""
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
        eos_id=limits.eos_id,
        pad_id=limits.pad_id,
    )
