"""A trained model that translates strings."""

import collections
import dataclasses
import warnings
from collections.abc import Sequence
from typing import overload

import jax.numpy as jnp
import numpy as np

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.length_batches import LengthBatches
from flax_transformer.data.datasets.split import Pair
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.hypotheses import Hypotheses
from flax_transformer.decoding.search import DecodingConfig, cut_at_stop
from flax_transformer.errors import UserError, check_number
from flax_transformer.tasks.given_texts import CutTextWarning, encode_text, list_texts
from flax_transformer.tasks.task import Fields, Model, Variables
from flax_transformer.tasks.text_attention import hypothesis_attention
from flax_transformer.tasks.text_scores import ScoredText, TextScore, score_pairs
from flax_transformer.tasks.translation.source_search import begin_targets, search_sources
from flax_transformer.visualization.visible_text import arrow_title

# Source tokens of a decoding batch: enough rows to keep the processor busy, at any beam size.
TOKENS_PER_BATCH = 1024
# Two halvings take 2 to 5 s more to compile for a shape. Of a batch, beam 4, they save 40 ms with
# 3+3 layers of 256 and 3 ms with 2+2 of 128 (two cores): for fewer batches they would not pay.
BATCHES_WORTH_HALVING = 128


class Translator:
    """Translates many strings with a model that is loaded once.

    Attributes:
        model: the encoder-decoder.
        variables: its parameters and, with batch normalization, its running statistics.
        tokenizer: its joint subwords.
        decoding: how translations are searched for unless a call says otherwise.
        max_length: source tokens translated at most, end mark included.

    Raises:
        UserError: if the tokenizer is not the one that the model was trained with.
    """

    def __init__(
        self,
        model: Model,
        variables: Variables,
        tokenizer: Tokenizer,
        decoding: DecodingConfig,
        max_length: int,
    ):
        _check_vocabulary(variables, tokenizer)
        self.model = model
        self.variables = variables
        self.tokenizer = tokenizer
        self.decoding = decoding
        self.max_length = max_length

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
            texts: what to translate; a blank text gives an empty one. A text of more than
                max_length tokens is translated up to there, with a `CutTextWarning`.
            decoding: how to search; the translator's own way if not given.
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
        """Gives the `num_best` translations of each text, the best first.

        Args:
            texts: see `translate`; a string is one text.
            decoding: how to search; the translator's own way if not given.
            seed: of sampling; other searches are not random.
            first_line: number of the first text, as warnings count.
            prefix: text with which every translation begins, except that of a blank text. It is
                encoded separately, so it should end with a whole word and without a space. Scores
                count only the text after it.

        Returns:
            A list for each text; fewer than `num_best` where no more exist.

        Raises:
            UserError: if texts are not strings of Unicode, there is no such seed, or the prefix
                is too long.
        """
        check_number("seed", seed, 0)
        texts = list_texts(texts)
        decoding = decoding or self.decoding
        found = [[ScoredText("", 0.0)] for _ in texts]
        filled = [place for place, text in enumerate(texts) if text.strip()]
        numbers = [first_line + place for place in filled]
        source = self._tokenize([texts[place] for place in filled], numbers)
        pairs = TokenizedPairs.without_targets(source)
        prompt = self._prompt(prefix)
        batches = LengthBatches.for_evaluation(pairs, TOKENS_PER_BATCH, self.max_length)
        several = list(batches.epoch())
        of_shape = collections.Counter(batch.source.shape for _, batch in several)
        for indices, batch in several:
            pays = of_shape[batch.source.shape] >= BATCHES_WORTH_HALVING
            hypotheses = self._search(
                begin_targets(batch, prompt), decoding, seed=seed, num_halvings=2 if pays else 0
            )
            texts_of_rows = self._texts(hypotheses, prefix, decoding.stop)
            for index, translations in zip(indices, texts_of_rows, strict=True):
                if index >= 0:
                    found[filled[index]] = translations
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
        """Computes the log-probability of a given translation, or of several; see `score_pairs`.

        Args:
            sources: one or several.
            targets: as many.
            first_line: number of the first pair, as warnings count.

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
        pairs = [Pair(*pair) for pair in zip(*sides, strict=True)]
        scores = score_pairs(
            self.model, self.variables, self.tokenizer, pairs, self.max_length, first_line
        )
        return scores[0] if isinstance(sources, str) else scores

    def attend(self, text: str, target: str | None = None) -> Fields:
        """Translates a text and computes where the model looked as it wrote the translation.

        `view_attention(**translator.attend(text))` shows it.

        Args:
            text: what to translate.
            target: the translation, if it is not to be searched for.

        Returns:
            The arguments of `view_attention` for the best translation; samples are of seed 0.

        Raises:
            UserError: if a text is blank or longer than the model reads.
        """
        config, tokenizer = self.model.config, self.tokenizer
        source = encode_text(tokenizer, "text", text, self.max_length, begin=False, end=True)[None]
        if target is None:
            batch = Batch(source, source[:, :0], np.ones_like(source), source[:, :0])
            hypotheses = self._search(begin_targets(batch, self._prompt("")), self.decoding)
        else:
            longest = config.position_limit()
            ids = encode_text(tokenizer, "target", target, longest, begin=False, end=True)
            score = jnp.zeros((1, 1))
            tokens = jnp.asarray(ids)[None, None]
            hypotheses = Hypotheses(tokens, score, score, jnp.full((1, 1), len(ids)))
        (found,) = hypothesis_attention(
            self.model, self.variables, tokenizer, jnp.asarray(source), hypotheses
        )
        return {
            "weights": found.weights,
            "tokens": tokenizer.names(found.source),
            "target_tokens": tokenizer.names(found.read),
            "title": arrow_title(text, tokenizer.decode(hypotheses.tokens[0, 0].tolist())),
        }

    def _tokenize(self, texts: list[str], numbers: list[int]) -> TokenizedText:
        source = TokenizedText.encode(self.tokenizer, texts)
        for index in np.flatnonzero(source.lengths > self.max_length):
            warnings.warn(
                f"line {numbers[index]} has {source.lengths[index]} tokens: only the first "
                f"{self.max_length} are translated; split it into sentences",
                CutTextWarning,
                stacklevel=4,
            )
        return source.cut(self.max_length)

    def _prompt(self, prefix: str) -> list[int]:
        """The tokens that the decoder reads before it writes."""
        limit, ids = self.model.config.position_limit(), self.tokenizer.encode(prefix)
        if limit is not None and len(ids) >= limit:
            raise UserError(
                f"the prefix has {len(ids)} tokens, but a translation has at most {limit}: "
                "shorten it"
            )
        return [self.tokenizer.bos_id, *ids]

    def _search(self, batch: Batch, decoding: DecodingConfig, **options: int) -> Hypotheses:
        """Decodes the sources of a batch; see `search_sources`."""
        return search_sources(
            self.model, self.variables, self.tokenizer, batch, decoding, **options
        )

    def _texts(
        self, hypotheses: Hypotheses, prefix: str, stop: Sequence[str]
    ) -> list[list[ScoredText]]:
        tokens, scores = np.asarray(hypotheses.tokens), np.asarray(hypotheses.scores)
        return [
            [
                ScoredText(
                    prefix + cut_at_stop(self.tokenizer.decode(ids.tolist()), stop), float(score)
                )
                for ids, score in zip(row_tokens, row_scores, strict=True)
                if np.isfinite(score)
            ]
            for row_tokens, row_scores in zip(tokens, scores, strict=True)
        ]


def _check_vocabulary(variables: Variables, tokenizer: Tokenizer) -> None:
    """Refuses the file of another tokenizer."""
    table = variables["params"].get("embedding", {}).get("table")
    rows = tokenizer.vocab_size if table is None else len(table)
    if rows != tokenizer.vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size:,} ids but the model {rows:,}: restore the "
            "tokenizer.json that was trained with the model"
        )


def greedy(decoding: DecodingConfig) -> DecodingConfig:
    """The quick form of a search, for a look at a model in training."""
    return dataclasses.replace(decoding, method="greedy", num_best=1)
