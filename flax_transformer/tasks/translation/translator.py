"""A trained model that translates strings."""

import collections
from collections.abc import Sequence
from typing import overload

import numpy as np
from jaxtyping import Int32

from flax_transformer.data.batches.length_batches import LengthBatches
from flax_transformer.data.tokens.published_tokenizer import PublishedTokenizer
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.decoding.hypotheses import Hypotheses
from flax_transformer.decoding.sampling import text_number
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError, check_number
from flax_transformer.tasks.given_texts import encode_text, list_texts, warn_of_long_lines
from flax_transformer.tasks.row_search import SearchRows
from flax_transformer.tasks.task import Fields
from flax_transformer.tasks.text_predictor import (
    ScoredText,
    TextPredictor,
    found_by_row,
    one_row,
)
from flax_transformer.tasks.text_scores import TextScore, score_pairs
from flax_transformer.visualization.visible_text import arrow_title

# Source tokens of a decoding batch: enough rows to keep the processor busy, at any beam size.
TOKENS_PER_BATCH = 1024
# Two halvings add 2 to 5 s of compilation per shape. Per batch at beam 4 they save 40 ms with 3+3
# layers of 256 and 3 ms with 2+2 layers of 128 (two cores), so they need this many batches to pay
# off.
BATCHES_WORTH_HALVING = 128


class Translator(TextPredictor):
    """Translates many strings with a model that is loaded once.

    It reads at most max_length tokens of a source, including the end mark.
    """

    decoding: DecodingConfig

    @overload
    def translate(
        self, texts: str, decoding: DecodingConfig | None = None, *, prefix: str = ""
    ) -> str: ...
    @overload
    def translate(
        self, texts: Sequence[str], decoding: DecodingConfig | None = None, *, prefix: str = ""
    ) -> list[str]: ...
    def translate(
        self,
        texts: str | Sequence[str],
        decoding: DecodingConfig | None = None,
        *,
        prefix: str = "",
    ) -> str | list[str]:
        """Translates a string to a string, or several to a list in the same order.

        Args:
            texts: to translate; a blank text gives an empty translation. A text is cut after
                max_length tokens, with a `CutTextWarning`.
            decoding: how to search; by default as the translator's `decoding` says.
            prefix: see `translate_n_best`.

        Raises:
            UserError: if texts are not strings of Unicode, or the prefix is too long.
        """
        several = [texts] if isinstance(texts, str) else texts
        found = self.translate_n_best(several, decoding, prefix=prefix)
        best = [several[0].text for several in found]
        return best[0] if isinstance(texts, str) else best

    def translate_n_best(
        self,
        texts: str | Sequence[str],
        decoding: DecodingConfig | None = None,
        *,
        seed: int = 0,
        first_line: int = 1,
        prefix: str = "",
    ) -> list[list[ScoredText]]:
        """Returns the `num_best` translations of each text, the best first.

        Args:
            texts: see `translate`; a string is one text.
            decoding: how to search; by default as the translator's `decoding` says.
            seed: of sampling; other searches are not random.
            first_line: line number of the first text in warnings.
            prefix: text with which every translation begins, except that of a blank text. It is
                encoded separately, so it should end with a whole word and without a space. Scores
                are of the text after it only.

        Returns:
            A list for each text, with fewer than `num_best` translations if no more exist.

        Raises:
            UserError: if texts are not strings of Unicode, the seed is out of range, or the prefix
                is too long.
        """
        check_number("--seed", seed, 0)
        texts = list_texts(texts)
        decoding = decoding or self.decoding
        found = [[ScoredText("", 0.0)] for _ in texts]
        filled = [place for place, text in enumerate(texts) if text.strip()]
        source = TokenizedText.encode(self.tokenizer, [texts[place] for place in filled])
        numbers = [first_line + place for place in filled]
        what = f"only the first {self.max_length} are translated; split it into sentences"
        warn_of_long_lines(source.lengths.tolist(), self.max_length, numbers, what)
        pairs = TokenizedPairs.without_targets(source.cut(self.max_length))
        prompt = self._prompt(prefix)
        batches = LengthBatches.for_evaluation(pairs, TOKENS_PER_BATCH, self.max_length)
        several = list(batches.epoch())
        of_shape = collections.Counter(batch.source.shape for _, batch in several)
        for indices, batch in several:
            is_many = of_shape[batch.source.shape] >= BATCHES_WORTH_HALVING
            pays = is_many and decoding.method == "beam"
            options = {"seed": seed, "num_halvings": 2 if pays else 0}
            sources = batch.source, batch.source_segments
            rows = found_by_row(self._search(*sources, prompt, decoding, **options))
            for index, row in zip(indices, rows, strict=True):
                if index >= 0:
                    found[filled[index]] = self.scored_texts(row, decoding.stop, prefix)
        return found

    @overload
    def score(self, sources: str, targets: str, *, first_line: int = 1) -> TextScore: ...
    @overload
    def score(
        self, sources: Sequence[str], targets: Sequence[str], *, first_line: int = 1
    ) -> list[TextScore]: ...
    def score(
        self, sources: str | Sequence[str], targets: str | Sequence[str], *, first_line: int = 1
    ) -> TextScore | list[TextScore]:
        """Computes the log-probability of one or several given translations; see `score_pairs`.

        Args:
            sources: one or several.
            targets: one per source.
            first_line: line number of the first pair in warnings.

        Raises:
            UserError: if sources or targets are not strings of Unicode, their numbers differ, or a
                target is too long.
        """
        sides = list_texts(sources), list_texts(targets)
        if len(sides[0]) != len(sides[1]):
            raise UserError(
                f"{len(sides[0])} sources but {len(sides[1])} targets: give one target for each "
                "source"
            )
        scores = score_pairs(self, *sides, first_line)
        return scores[0] if isinstance(sources, str) else scores

    def answer(self, text: str) -> str:
        """Returns the best translation of a text; samples are of seed 0."""
        return self.translate(text)

    def attend(self, text: str, target: str | None = None) -> Fields:
        """Translates a text and computes the attention of the model while it translates.

        `view_attention(**translator.attend(text))` shows it.

        Args:
            text: to translate.
            target: the translation; None: it is searched for.

        Returns:
            The arguments of `view_attention` for the best translation; samples are of seed 0.

        Raises:
            UserError: if a text is blank or longer than the model reads.
        """
        source, written = self.read(text, target)
        shown = self.attention(source, [self.tokenizer.bos_id, *written[:-1]])
        return {**shown, "title": arrow_title(text, self.tokenizer.target.decode(written))}

    def given(self, text: str, target: str | None = None) -> Fields:
        """Returns the arguments of the model for a text and its translation; see `attend`."""
        source, written = self.read(text, target)
        return one_row(source, [self.tokenizer.bos_id, *written[:-1]])

    def read(self, text: str, target: str | None = None) -> tuple[list[int], list[int]]:
        """Returns the token ids of a source and of its translation, with end marks.

        The arguments and errors are those of `attend`.
        """
        tokenizer = self.tokenizer
        source = encode_text(tokenizer, "text", text, self.max_length, begin=False, end=True)
        if target is not None:
            longest = self.model.config.position_limit()
            return source, encode_text(
                tokenizer.target, "target", target, longest, begin=False, end=True
            )
        one = np.array([source], np.int32)
        found = self._search(one, np.ones_like(one), self._prompt(""), self.decoding)
        return source, found.tokens[0, 0, : int(found.lengths[0, 0])].tolist()

    def _prompt(self, prefix: str) -> list[int]:
        """The tokens that the decoder reads before it writes."""
        limit, ids = self.model.config.position_limit(), self.tokenizer.target.encode(prefix)
        if limit is not None and len(ids) >= limit:
            raise UserError(
                f"the prefix has {len(ids)} tokens, but a translation has at most {limit}: "
                "shorten it"
            )
        return [*self.tokenizer.start_ids, *ids]

    def _search(
        self,
        source: Int32[np.ndarray, "rows source_length"],
        segments: Int32[np.ndarray, "rows source_length"],
        prompt: list[int],
        decoding: DecodingConfig,
        **options: int,
    ) -> Hypotheses:
        """Searches for the translations of a batch of sources; all share the prefix."""
        is_token = segments != 0
        # Numbers that identify the rows of a batch independently of padding.
        numbers = [[text_number(ids[chosen])] for ids, chosen in zip(source, is_token, strict=True)]
        # The begin mark takes one position; the last found token is never read.
        num_given, extra = len(prompt) - 1, decoding.max_extra_length
        longest = source.shape[1] + extra
        longest = min(longest, self.model.config.position_limit() or longest) - num_given
        rows = SearchRows(
            np.tile(np.array(prompt, np.int32), (len(source), 1)),
            (is_token.sum(axis=1) + extra - num_given).astype(np.int32),
            np.array(numbers, np.uint32),
            source=source,
            segments=segments,
        )
        return self.search(rows, decoding, max(longest, 1), **options)

    @property
    def never_written(self) -> Sequence[int]:
        """Ids that a published model may not write."""
        # A model that was trained here has learned not to write padding.
        is_published = isinstance(self.tokenizer, PublishedTokenizer)
        return self.tokenizer.never_written if is_published else ()
