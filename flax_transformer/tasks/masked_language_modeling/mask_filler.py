"""A trained masked language model that fills the gaps of texts."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from flax_transformer.data.batches.examples import TextInputs
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.errors import UserError, check_number
from flax_transformer.functional.kernels.jit_by_rows import jit_by_rows
from flax_transformer.tasks.given_texts import list_texts
from flax_transformer.tasks.task import Fields, Model, Variables
from flax_transformer.tasks.text_predictor import (
    TextPredictor,
    one_row,
    refuse_target,
)
from flax_transformer.tasks.text_vectors import EmbedsTexts
from flax_transformer.visualization.visible_text import arrow_title

MASK_TEXT = "[MASK]"  # marks a gap: a missing token


class Filled(NamedTuple):
    """A text with its gaps filled.

    Attributes:
        text: as it was given, with the most probable token in each gap.
        gaps: some tokens for each gap and their probabilities, the most probable first.
    """

    text: str
    gaps: list[dict[str, float]]


class MaskFiller(TextPredictor, EmbedsTexts):
    """Fills the gaps of many texts with a model that is loaded once."""

    def fill(
        self, texts: str | Sequence[str], top: int = 5, *, first_line: int = 1
    ) -> list[Filled]:
        """Fills each gap of each text with one token, independently of the other gaps.

        Args:
            texts: with [MASK] at each gap; a string is one text. A text without a gap is returned
                unchanged.
            top: number of tokens to report for each gap.
            first_line: line number of the first text in errors.

        Raises:
            UserError: if a text with a gap has more tokens than the model reads.
        """
        check_number("--top", top)
        filled = []
        for number, text in enumerate(list_texts(texts), first_line):
            if MASK_TEXT not in text:
                filled.append(Filled(text, []))
                continue
            ids, places = self._encode(number, text)
            inputs = TextInputs(TokenizedText.of([ids]), self.max_length)
            # The mask may have the id of padding; segments mark it as a token.
            tokens, segments = inputs.take(np.zeros(1, np.int64))
            probabilities = _predict(self.model, self.variables, tokens, segments)
            filled.append(self._filled(text, np.array(probabilities[0])[places], top))
        return filled

    def answer(self, text: str) -> str:
        """Returns a text with its gaps filled."""
        return self.fill(text, 1)[0].text

    def attend(self, text: str) -> Fields:
        """Computes the attention between the tokens of a text with gaps, for `view_attention`.

        Raises:
            UserError: if the text has no gap or more tokens than the model reads.
        """
        if MASK_TEXT not in text:
            raise UserError(f"text 1 has no {MASK_TEXT}: write it where a word is missing")
        ids, _ = self._encode(1, text)
        shown = self.attention(ids)
        mask_id = self.tokenizer.mask_id
        names = [
            MASK_TEXT if token == mask_id else name
            for token, name in zip(ids, shown["tokens"], strict=True)
        ]
        return {**shown, "tokens": names, "title": arrow_title(text, self.answer(text))}

    def given(self, text: str, target: str | None = None) -> Fields:
        """Returns the arguments of the model for a text with or without gaps."""
        refuse_target(target)
        return one_row(self._encode(1, text)[0])

    def num_tokens(self, text: str) -> int:
        """Returns the number of tokens of a text, with its marks and gaps."""
        return len(self._marked(text)[0])

    def _encode(self, number: int, text: str) -> tuple[list[int], list[int]]:
        """The ids of a text and its marks, and the places of its gaps.

        Raises:
            UserError: if they are more than the model reads.
        """
        ids, places = self._marked(text)
        if len(ids) > self.max_length:
            raise UserError(
                f"text {number} has {len(ids)} tokens, but the model reads {self.max_length}: give "
                "a shorter one"
            )
        return ids, places

    def _marked(self, text: str) -> tuple[list[int], list[int]]:
        """The same of a text of any length.

        A space before a gap belongs to the missing token.
        """
        tokenizer, parts, places = self.tokenizer, text.split(MASK_TEXT), []
        ids = [tokenizer.bos_id]
        for part in parts[:-1]:
            ids += tokenizer.encode(part.removesuffix(" "))
            places.append(len(ids))
            ids.append(tokenizer.mask_id)
        ids += [*tokenizer.encode(parts[-1]), tokenizer.eos_id]
        return ids, places

    def _filled(
        self, text: str, probabilities: Float[np.ndarray, "gaps vocab"], top: int
    ) -> Filled:
        gaps, words, special_ids = [], [], self.tokenizer.special_ids
        for row in probabilities[:, : self.tokenizer.vocab_size]:
            row[special_ids] = -1  # the marks are not text
            num_named = min(top, len(row) - len(special_ids))
            order = np.argsort(-row, kind="stable")[:num_named].tolist()
            names = self.tokenizer.names(order)
            gaps.append(dict(zip(names, row[order].tolist(), strict=True)))
            words.append(order[0])
        return Filled(self._joined(text.split(MASK_TEXT), words), gaps)

    def _joined(self, parts: list[str], words: list[int]) -> str:
        """The parts of a text with a token between each two."""
        text, run = parts[0].removesuffix(" "), []
        for number, word in enumerate(words, 1):
            run.append(word)
            is_last = number == len(words)
            part = parts[number] if is_last else parts[number].removesuffix(" ")
            # Tokens of gaps without a text between them may be the bytes of one character.
            if part or is_last:
                text += self._text_of(run, is_first=not (text or parts[0])) + part
                run = []
        return text

    def _text_of(self, run: list[int], *, is_first: bool) -> str:
        """The text of tokens, with the space before them unless a text begins with them."""
        plain = self.tokenizer.decode(run)
        if is_first:
            return plain
        # Decoders leave out the space before the first token.
        before = self.tokenizer.decode(run[:1])
        both = self.tokenizer.decode([*run[:1], *run])
        return both.removeprefix(before) if both.startswith(before) else plain


@partial(jit_by_rows, rows=("tokens", "segments"), static_argnames=("model",))
def _predict(
    model: Model,
    variables: Variables,
    tokens: Int[Array, "rows length"],
    segments: Int[Array, "rows length"],
) -> Float[Array, "rows length vocab"]:
    """The probability of each token at each position."""
    logits = model.apply(variables, tokens, segments=segments, method="predict_tokens")
    return jax.nn.softmax(logits.astype(jnp.float32))
