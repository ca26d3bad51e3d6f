"""A trained language model that continues texts."""

import dataclasses
import itertools
import warnings
from collections.abc import Iterator, Sequence
from typing import overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int32

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.hypotheses import Hypotheses
from flax_transformer.decoding.search import DecodingConfig, cut_at_stop
from flax_transformer.errors import UserError, check_number
from flax_transformer.tasks.given_texts import CutTextWarning, encode_text, list_texts
from flax_transformer.tasks.language_modeling.continuation import (
    Continuation,
    Piece,
    PieceBatch,
    piece_batches,
)
from flax_transformer.tasks.language_modeling.piece_search import search_pieces
from flax_transformer.tasks.task import Fields, Model, Variables
from flax_transformer.tasks.text_attention import hypothesis_attention
from flax_transformer.tasks.text_scores import ScoredText, TextScore, score_texts


class Generator:
    """Continues many texts with a model that is loaded once.

    A model reads at most max_length tokens. Nothing is dropped while a prompt and its output fit.
    A text that outgrows max_length goes on from its last max_length / 2 tokens, as often as needed,
    so texts of any length can be written.

    An output depends on the prompt, the seed, the number of the sample and the decoding only, not
    on the other prompts of a call.

    Attributes:
        model: the decoder.
        variables: its parameters.
        tokenizer: its tokens.
        decoding: how the next token is chosen unless a call says otherwise.
        max_length: tokens that the model reads at a time.
    """

    def __init__(
        self,
        model: Model,
        variables: Variables,
        tokenizer: Tokenizer,
        decoding: DecodingConfig,
        max_length: int,
    ):
        self.model = model
        self.variables = variables
        self.tokenizer = tokenizer
        self.decoding = decoding
        self.max_length = max_length

    def generate(
        self,
        prompts: str | Sequence[str],
        decoding: DecodingConfig | None = None,
        *,
        length: int | None = None,
        seed: int = 0,
    ) -> list[list[str]]:
        """Continues each prompt `num_best` times.

        Args:
            prompts: beginnings, a string is one; an empty one begins a document. Of a prompt of
                more than max_length tokens the end is read, with a `CutTextWarning`.
            decoding: how the next token is chosen; the generator's own way if not given.
            length: tokens to write at most; decoding's max_extra_length if not given.
            seed: of sampling; other searches are not random.

        Returns:
            For each prompt its continuations, without the prompt.

        Raises:
            UserError: if prompts are no strings, or a beam would have to outgrow max_length.
        """
        found = self.generate_n_best(prompts, decoding, length=length, seed=seed)
        return [[text for text, _ in continuations] for continuations in found]

    def generate_n_best(
        self,
        prompts: str | Sequence[str],
        decoding: DecodingConfig | None = None,
        *,
        length: int | None = None,
        seed: int = 0,
        first_line: int = 1,
    ) -> list[list[ScoredText]]:
        """Continues each prompt as `generate` does; gives the continuations with their scores.

        Args:
            prompts: see `generate`.
            decoding: see `generate`.
            length: see `generate`.
            seed: see `generate`.
            first_line: number of the first prompt, as warnings count.

        Raises:
            UserError: see `generate`.
        """
        check_number("seed", seed, 0)
        decoding = decoding or self.decoding
        length = decoding.max_extra_length if length is None else length
        check_number("length", length)
        ids = [
            self.tokenizer.encode(prompt) or [self.tokenizer.eos_id]
            for prompt in list_texts(prompts)
        ]
        self._warn_of_long(ids, first_line)
        if decoding.method == "beam":
            found = self._search_once([Continuation(one, length) for one in ids], decoding)
        else:
            found = self._write(ids, decoding, length, seed)
        return [
            [
                ScoredText(cut_at_stop(self.tokenizer.decode(tokens), decoding.stop), score)
                for tokens, score in several
            ]
            for several in found
        ]

    @overload
    def score(self, texts: str, *, first_line: int = 1) -> TextScore: ...
    @overload
    def score(self, texts: Sequence[str], *, first_line: int = 1) -> list[TextScore]: ...
    def score(
        self, texts: str | Sequence[str], *, first_line: int = 1
    ) -> TextScore | list[TextScore]:
        """Computes the log-probability of a text, or of each of several; see `score_texts`.

        Args:
            texts: one or several.
            first_line: number of the first text, as warnings count.

        Raises:
            UserError: if texts are not strings of Unicode.
        """
        several = list_texts(texts)
        scores = score_texts(
            self.model, self.variables, self.tokenizer, several, self.max_length, first_line
        )
        return scores[0] if isinstance(texts, str) else scores

    def attend(self, text: str, length: int | None = None) -> Fields:
        """Computes where the model looks as it reads a text, and as it goes on with it.

        `view_attention(**generator.attend(text))` shows it.

        Args:
            text: what is read.
            length: tokens to write after it at most; None: nothing is written.

        Returns:
            The arguments of `view_attention` for the text and the best continuation; samples are
            of seed 0. The last token written is in the title alone: nothing reads it.

        Raises:
            UserError: if the text is blank, or both are longer than the model reads.
        """
        ids = encode_text(self.tokenizer, "text", text, self.max_length, begin=False, end=False)
        hypotheses = self._found(ids[None], length)
        (found,) = hypothesis_attention(
            self.model, self.variables, self.tokenizer, ids[None], hypotheses
        )
        names = self.tokenizer.names(found.read)
        written = "" if length is None else self.tokenizer.decode(hypotheses.tokens[0, 0].tolist())
        return {
            "weights": found.weights,
            "tokens": names,
            "target_tokens": names,
            "title": text + written,
        }

    def _found(
        self, prompts: Int32[np.ndarray, "rows prompt_length"], length: int | None
    ) -> Hypotheses:
        """The best continuation that fits into one piece; without a length one that is not read."""
        if length is None:
            score, ones = jnp.zeros((1, 1)), jnp.ones((1, 1), jnp.int32)
            return Hypotheses(jnp.full((1, 1, 1), self.tokenizer.eos_id), score, score, ones)
        room = self.max_length - prompts.shape[1] + 1
        check_number("length", length)
        if length > room:
            raise UserError(
                f"length {length} is more than the {room} tokens that the model can write after "
                f"this text, for it reads {self.max_length} at a time: lower it, or shorten the "
                "text"
            )
        text = Continuation(prompts[0].tolist(), length)
        (batch,) = self._batches([text.piece(self.max_length)])
        found = self._find(batch, dataclasses.replace(self.decoding, num_best=1), 0)
        return found._replace(tokens=found.tokens[:, :, :length])

    def _warn_of_long(self, prompts: list[list[int]], first_line: int) -> None:
        for number, prompt in enumerate(prompts, first_line):
            if len(prompt) > self.max_length:
                warnings.warn(
                    f"line {number} has {len(prompt)} tokens: only the end is read, as the model "
                    f"reads {self.max_length} at a time",
                    CutTextWarning,
                    stacklevel=4,
                )

    def _write(
        self, prompts: list[list[int]], decoding: DecodingConfig, length: int, seed: int
    ) -> list[list[tuple[list[int], float]]]:
        """Writes piece by piece until every text has ended or is long enough."""
        # Several draws for a prompt are draws for several prompts, so that each outgrows the
        # model's reach on its own.
        copies = decoding.num_best if decoding.method == "sample" else 1
        texts = [[Continuation(ids, length, copy) for copy in range(copies)] for ids in prompts]
        growing = list(itertools.chain.from_iterable(texts))
        one = dataclasses.replace(decoding, num_best=1)
        while growing := [text for text in growing if not text.has_ended]:
            pieces = [text.piece(self.max_length) for text in growing]
            for batch in self._batches(pieces):
                found = jax.tree.map(
                    lambda array: np.asarray(array)[:, 0].tolist(), self._find(batch, one, seed)
                )
                for row, piece in enumerate(batch.pieces):
                    tokens = found.tokens[row][: found.lengths[row]]
                    piece.text.add(tokens, found.log_probs[row], self.tokenizer.eos_id)
                    if decoding.stop:
                        text = self.tokenizer.decode(piece.text.written)
                        piece.text.has_ended |= cut_at_stop(text, decoding.stop) != text
        return [[(text.written, text.log_prob) for text in several] for several in texts]

    def _search_once(
        self, texts: list[Continuation], decoding: DecodingConfig
    ) -> list[list[tuple[list[int], float]]]:
        """Gives the best continuations of each text that fit into one piece."""
        pieces = [text.piece(self.max_length) for text in texts]
        for text, piece in zip(texts, pieces, strict=True):
            if text.length > piece.limit:
                raise UserError(
                    f"length {text.length} is more than the {piece.limit} tokens that a beam can "
                    f"write after this prompt, for the model reads {self.max_length} at a time: "
                    "lower it, or give --decoding.method sample"
                )
        best = {}
        for batch in self._batches(pieces, decoding.beam_size):
            found = self._find(batch, decoding, 0)
            tokens, scores = found.tokens.tolist(), found.scores.tolist()
            for row, piece in enumerate(batch.pieces):
                outputs = zip(tokens[row], scores[row], strict=True)
                best[piece.text] = [(ids, score) for ids, score in outputs if np.isfinite(score)]
        return [best[text] for text in texts]

    def _batches(self, pieces: Sequence[Piece], hypotheses: int = 1) -> Iterator[PieceBatch]:
        return piece_batches(pieces, self.max_length, self.tokenizer.pad_id, hypotheses)

    def _find(self, batch: PieceBatch, decoding: DecodingConfig, seed: int) -> Hypotheses:
        return search_pieces(self.model, self.variables, self.tokenizer, batch, decoding, seed)
