"""A trained language model that continues texts."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any, overload

import jax
import numpy as np

from flax_transformer.data.tokens.published_tokenizer import PublishedTokenizer
from flax_transformer.decoding.search import DecodingConfig, cut_at_stop
from flax_transformer.errors import UserError, check_number
from flax_transformer.tasks.given_texts import encode_text, list_texts, warn_of_long_lines
from flax_transformer.tasks.language_modeling.continuation import Continuation, piece_batches
from flax_transformer.tasks.task import Fields
from flax_transformer.tasks.text_predictor import (
    ScoredText,
    TextPredictor,
    found_by_row,
    one_row,
    refuse_target,
)
from flax_transformer.tasks.text_scores import TextScore, score_texts


class Generator(TextPredictor):
    """Continues many texts with a model that is loaded once.

    A model reads at most max_length tokens. Nothing is dropped while a prompt and its output fit.
    A text that outgrows max_length continues from its last max_length / 2 tokens, as often as
    needed, so texts of any length can be written.

    An output depends only on the prompt, the seed, the number of the sample and the decoding, not
    on the other prompts of a call.
    """

    decoding: DecodingConfig

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
            prompts: one string or several; an empty prompt begins a document. Only the last
                max_length tokens of a longer prompt are read, with a `CutTextWarning`.
            decoding: how the next token is chosen; by default as the generator's `decoding` says.
            length: largest number of tokens to write; by default decoding's max_extra_length.
            seed: of sampling; other searches are not random.

        Returns:
            The continuations of each prompt, without the prompt.

        Raises:
            UserError: if prompts are not strings, or a beam would have to outgrow max_length.
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
        """Continues each prompt like `generate`, and returns the continuations with scores.

        Args:
            prompts: see `generate`.
            decoding: see `generate`.
            length: see `generate`.
            seed: see `generate`.
            first_line: line number of the first prompt in warnings.

        Raises:
            UserError: see `generate`.
        """
        ids = [self.tokenizer.encode_prompt(prompt) for prompt in list_texts(prompts)]
        return self._answer(ids, decoding, length, seed, first_line)

    def chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        decoding: DecodingConfig | None = None,
        *,
        length: int | None = None,
        seed: int = 0,
    ) -> list[str]:
        """Answers a conversation by the chat template of a published model.

        Args:
            messages: such as `[{"role": "user", "content": "Hello"}]`, the oldest first. The roles
                that a template knows are mostly system, user and assistant.
            decoding: see `generate`.
            length: see `generate`.
            seed: see `generate`.

        Returns:
            `num_best` answers.

        Raises:
            UserError: if the model has no template, or it does not accept the conversation.
        """
        (found,) = self.chat_n_best([messages], decoding, length=length, seed=seed)
        return [text for text, _ in found]

    def chat_n_best(
        self,
        conversations: Sequence[Sequence[Mapping[str, Any]]],
        decoding: DecodingConfig | None = None,
        *,
        length: int | None = None,
        seed: int = 0,
        first_line: int = 1,
    ) -> list[list[ScoredText]]:
        """Answers several conversations like `chat`, and returns the answers with scores.

        Args:
            conversations: lists of messages.
            decoding: see `generate`.
            length: see `generate`.
            seed: see `generate`.
            first_line: line number of the first conversation in warnings.

        Raises:
            UserError: see `chat`.
        """
        if not isinstance(self.tokenizer, PublishedTokenizer):
            raise UserError("only published models have a chat template: leave --chat out")
        if not all(map(_is_conversation, conversations)):
            raise UserError(
                "a conversation is a list of messages with a role and a content: give them as "
                '[{"role": "user", "content": "Hello"}]'
            )
        ids = self.tokenizer.encode_chats(conversations)
        return self._answer(ids, decoding, length, seed, first_line)

    def _answer(
        self,
        ids: list[list[int]],
        decoding: DecodingConfig | None,
        length: int | None,
        seed: int,
        first_line: int,
    ) -> list[list[ScoredText]]:
        check_number("--seed", seed, 0)
        decoding = decoding or self.decoding
        length = decoding.max_extra_length if length is None else length
        check_number("--length", length)
        what = f"only the end is read, as the model reads {self.max_length} at a time"
        warn_of_long_lines(map(len, ids), self.max_length, itertools.count(first_line), what)
        if decoding.method == "beam":
            found = self._search_once([Continuation(one, length) for one in ids], decoding)
        else:
            found = self._write(ids, decoding, length, seed)
        return [self.scored_texts(several, decoding.stop) for several in found]

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
            first_line: line number of the first text in warnings.

        Raises:
            UserError: if texts are not strings of Unicode.
        """
        several = list_texts(texts)
        scores = score_texts(self, several, first_line)
        return scores[0] if isinstance(texts, str) else scores

    def answer(self, text: str) -> str:
        """Returns the best continuation that fits into one piece; samples are of seed 0."""
        room = self.max_length - len(self.tokenizer.encode_prompt(text)) + 1
        length = min(self.decoding.max_extra_length, max(room, 1))
        one = dataclasses.replace(self.decoding, num_best=1)
        return self.generate(text, one, length=length)[0][0]

    def attend(self, text: str, length: int | None = None) -> Fields:
        """Computes the attention of the model while it reads and continues a text.

        `view_attention(**generator.attend(text))` shows it.

        Args:
            text: to read.
            length: largest number of tokens to write after it; None: nothing is written.

        Returns:
            The arguments of `view_attention` for the text and the best continuation; samples are of
            seed 0. The last written token appears only in the title, as the model does not read it.

        Raises:
            UserError: if the text is blank, or both are longer than the model reads.
        """
        ids = encode_text(self.tokenizer, "text", text, self.max_length, begin=False, end=False)
        written = [] if length is None else self._continue(ids, length)
        shown = self.attention([*ids, *written[:-1]])
        title = text + self.tokenizer.decode(written)
        return {**shown, "target_tokens": shown["tokens"], "title": title}

    def given(self, text: str, target: str | None = None) -> Fields:
        """Returns the arguments of the model for a text; see `attend`."""
        refuse_target(target)
        ids = encode_text(self.tokenizer, "text", text, self.max_length, begin=False, end=False)
        return one_row(ids)

    def _continue(self, prompt: list[int], length: int) -> list[int]:
        """The best continuation that fits into one piece."""
        room = self.max_length - len(prompt) + 1
        check_number("--length", length)
        if length > room:
            raise UserError(
                f"--length {length} is more than the {room} tokens that the model can write after "
                f"this text, for it reads {self.max_length} at a time: lower it, or shorten the "
                "text"
            )
        text = Continuation(prompt, length)
        ((_, rows, longest),) = piece_batches([text], self.max_length, self.tokenizer)
        found = self.search(rows, dataclasses.replace(self.decoding, num_best=1), longest)
        return found.tokens[0, 0, : int(found.lengths[0, 0])].tolist()

    @property
    def never_written(self) -> Sequence[int]:
        """Ids that are not text; written padding would be ignored when it is read."""
        return self.tokenizer.never_written

    def _write(
        self, prompts: list[list[int]], decoding: DecodingConfig, length: int, seed: int
    ) -> list[list[tuple[list[int], float]]]:
        """Writes piece by piece until every text has ended or reached its length."""
        # Several samples of a prompt are treated as several prompts, so that each may outgrow
        # max_length independently.
        copies = decoding.num_best if decoding.method == "sample" else 1
        texts = [[Continuation(ids, length, copy) for copy in range(copies)] for ids in prompts]
        growing = list(itertools.chain.from_iterable(texts))
        one = dataclasses.replace(decoding, num_best=1)
        while growing := [text for text in growing if not text.has_ended]:
            batches = piece_batches(growing, self.max_length, self.tokenizer)
            for some, rows, longest in batches:
                found = self.search(rows, one, longest, seed=seed)
                found = jax.tree.map(lambda array: np.asarray(array)[:, 0].tolist(), found)
                for row, text in enumerate(some):
                    tokens = found.tokens[row][: found.lengths[row]]
                    text.add(tokens, found.log_probs[row], self.tokenizer.end_ids)
                    if decoding.stop:
                        written = self.tokenizer.decode(text.written)
                        text.has_ended |= cut_at_stop(written, decoding.stop) != written
        return [[(text.written, text.log_prob) for text in several] for several in texts]

    def _search_once(
        self, texts: list[Continuation], decoding: DecodingConfig
    ) -> list[list[tuple[list[int], float]]]:
        """Returns the best continuations of each text that fit into one piece."""
        for text in texts:
            _, limit = text.piece(self.max_length)
            if text.length > limit:
                raise UserError(
                    f"--length {text.length} is more than the {limit} tokens that a beam can write "
                    f"after this prompt, for the model reads {self.max_length} at a time: lower "
                    "it, or give --decoding.method sample"
                )
        best = {}
        batches = piece_batches(texts, self.max_length, self.tokenizer, decoding.beam_size)
        for some, rows, longest in batches:
            found = found_by_row(self.search(rows, decoding, longest))
            best |= zip(some, found, strict=False)  # the remaining rows only fill the batch
        return [best[text] for text in texts]


def _is_conversation(messages: object) -> bool:
    """Whether there are messages, each with its role, and with a content or calls of tools."""
    return (
        isinstance(messages, Sequence)
        and len(messages) > 0
        and all(
            isinstance(message, Mapping)
            and isinstance(message.get("role"), str)
            and not {"content", "tool_calls"}.isdisjoint(message)
            for message in messages
        )
    )
