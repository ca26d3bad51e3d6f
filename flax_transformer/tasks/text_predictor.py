"""Base class of the predictors of texts."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.hypotheses import Hypotheses, SearchLimits
from flax_transformer.decoding.search import DecodingConfig, cut_at_stop
from flax_transformer.errors import UserError
from flax_transformer.inspection.attention_weights import compiled_attention_weights
from flax_transformer.tasks.given_texts import encode_text
from flax_transformer.tasks.row_search import SearchRows, search_rows
from flax_transformer.tasks.task import Fields, Model, Variables


class ScoredText(NamedTuple):
    """An output text of a search.

    Attributes:
        text: without the prompt.
        score: log-probability in nats; beam search divides it by the length penalty. Higher is
            better.
    """

    text: str
    score: float


@dataclasses.dataclass(eq=False)
class TextPredictor:
    """A trained model that is loaded once and used for many texts.

    Attributes:
        model: of texts.
        variables: its parameters and, with batch normalization, its running statistics.
        tokenizer: of the model.
        decoding: default search for outputs; None: no search.
        max_length: tokens that the model reads at a time, marks included.

    Raises:
        UserError: if the tokenizer is not the one that the model was trained with.
    """

    model: Model
    variables: Variables
    tokenizer: Tokenizer
    decoding: DecodingConfig | None
    max_length: int

    def __post_init__(self) -> None:
        """Rejects the file of another tokenizer."""
        table = self.variables["params"].get("embedding", {}).get("table")
        if table is not None and table.shape[0] != self.tokenizer.vocab_size:
            raise UserError(
                f"the tokenizer has {self.tokenizer.vocab_size:,} ids but the model "
                f"{table.shape[0]:,}: restore the tokenizer.json that was trained with the model"
            )

    def search(
        self,
        rows: SearchRows,
        decoding: DecodingConfig,
        max_length: int,
        *,
        seed: int = 0,
        num_halvings: int = 0,
    ) -> Hypotheses:
        """Searches for the outputs of a batch of at most max_length tokens."""
        end_ids, pad_id = self.tokenizer.end_ids, self.tokenizer.pad_id
        return search_rows(
            self.model,
            self.variables,
            rows,
            jax.random.key(seed),
            # Stop strings do not change the program; it is compiled once, without them.
            decoding=dataclasses.replace(decoding, stop=()),
            limits=SearchLimits(
                max_length=max_length,
                eos_id=end_ids,
                pad_id=pad_id,
                never_written=tuple(self.never_written),
            ),
            num_halvings=num_halvings,
        )

    @property
    def never_written(self) -> Sequence[int]:
        """Ids that a search never writes."""
        return ()

    def scored_texts(
        self, found: Iterable[tuple[list[int], float]], stop: Sequence[str], prefix: str = ""
    ) -> list[ScoredText]:
        """Decodes the outputs for an input, each up to its first stop string."""
        return [
            ScoredText(prefix + cut_at_stop(self.tokenizer.target.decode(ids), stop), score)
            for ids, score in found
        ]

    def given(self, text: str, target: str | None = None) -> Fields:
        """Returns the arguments of the model for a text.

        Raises:
            UserError: if the text is blank or longer than the model reads, or a target is given,
                although the model writes none.
        """
        refuse_target(target)
        ids = encode_text(self.tokenizer, "text", text, self.max_length, begin=True, end=True)
        return one_row(ids)

    def answer(self, text: str) -> str:
        """Returns the output for a text; "" if the output is not a text."""
        return ""

    def attention(self, *sides: Iterable[int]) -> Fields:
        """Computes the attention weights; see `text_attention`."""
        return text_attention(self.model, self.variables, self.tokenizer, *sides)


def refuse_target(target: str | None) -> None:
    """Rejects a target of a model that does not write one."""
    if target is not None:
        raise UserError(f"--target {target!r:.40} is read by translators only: leave it out")


def found_by_row(hypotheses: Hypotheses) -> list[list[tuple[list[int], float]]]:
    """Returns the ids and the score of each hypothesis of each row, without empty slots."""
    sides = (np.asarray(side).tolist() for side in (hypotheses.tokens, hypotheses.scores))
    return [
        [(ids, score) for ids, score in zip(*row, strict=True) if np.isfinite(score)]
        for row in zip(*sides, strict=True)
    ]


def one_row(*sides: Iterable[int]) -> dict[str, Int[Array, "1 length"]]:
    """Makes the arguments of a model from token ids without padding; see `text_attention`.

    Example:
        >>> {name: ids.tolist() for name, ids in one_row([5, 2]).items()}
        {'tokens': [[5, 2]], 'segments': [[1, 1]]}
    """
    names = ("source", "target") if len(sides) > 1 else ("tokens",)
    inputs = {
        name: jnp.asarray(ids, jnp.int32)[None] for name, ids in zip(names, sides, strict=True)
    }
    marks = {
        "segments" if name == "tokens" else f"{name}_segments": jnp.ones_like(ids)
        for name, ids in inputs.items()
    }
    return inputs | marks


def text_attention(
    model: Model, variables: Variables, tokenizer: Tokenizer, *sides: Iterable[int]
) -> Fields:
    """Computes the attention weights of a model in one forward pass.

    Cached decoding computes the same weights for the hypothesis that a search has found, as a
    hypothesis never depends on the others.

    Args:
        model: of texts.
        variables: of the model.
        tokenizer: names the tokens.
        *sides: token ids that the model reads, without padding: a text; for an encoder-decoder, a
            source and the decoder's input, which starts with the begin mark.

    Returns:
        Arguments of `view_attention`: the weights of each part, and the names of the tokens.
    """
    found = compiled_attention_weights(model, variables, one_row(*sides))
    weights = {part: np.asarray(array[:, 0]) for part, array in found.items()}
    tokens = zip(("tokens", "target_tokens"), map(tokenizer.names, sides), strict=False)
    return {"weights": weights, **dict(tokens)}
