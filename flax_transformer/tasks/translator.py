"""A trained model that translates strings."""

import collections
import dataclasses
import functools
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, overload

import jax
import jax.numpy as jnp
import numpy as np

from flax_transformer.data.batching import evaluation_batches
from flax_transformer.data.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokenizer import BOS, EOS, PAD, Tokenizer
from flax_transformer.decoding.hypotheses import Hypotheses
from flax_transformer.decoding.search import DecodingConfig, search
from flax_transformer.errors import UserError, check_number
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.models.attention_weights import check_holds_weights
from flax_transformer.models.encoder_decoder import EncoderDecoder
from flax_transformer.tasks.attention import encode_text, hypothesis_attention
from flax_transformer.tasks.cut_texts import CutTextWarning

# Source tokens of a decoding batch: enough rows to keep the processor busy, at any beam size.
TOKENS_PER_BATCH = 1024
# Two halvings take 2 to 5 s more to compile for a shape. Of a batch, beam 4, they save 40 ms with
# 3+3 layers of 256 and 3 ms with 2+2 of 128 (two cores): for fewer batches they would not pay.
BATCHES_WORTH_HALVING = 128


class TranslatedText(NamedTuple):
    """One translation of a text.

    Attributes:
        text: the translation.
        score: log-probability in nats divided by the length penalty; higher is better.
    """

    text: str
    score: float


def _strings(texts: Iterable[str]) -> list[str]:
    """Takes the texts together; a text alone would be taken for its letters."""
    if isinstance(texts, str):
        raise UserError(f"texts is one string, {texts!r:.60}: give a list of strings")
    texts = list(texts)
    for number, text in enumerate(texts, 1):
        if not isinstance(text, str):
            raise UserError(f"text {number} is no string, but {text!r:.60}: give a list of strings")
    return texts


class Translator:
    """Translates many strings with a model that is loaded once.

    Attributes:
        model: the encoder-decoder.
        variables: its parameters and, with batch normalisation, its running statistics.
        tokenizer: its joint subwords.
        decoding: how translations are searched for unless a call says otherwise.
        max_length: source tokens translated at most, end mark included.

    Raises:
        UserError: if the tokenizer is not the one that the model was trained with.
    """

    def __init__(
        self,
        model: EncoderDecoder,
        variables: Any,
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
        self._search = jax.jit(
            functools.partial(search_batch, model), static_argnames=("decoding", "num_halvings")
        )

    @overload
    def translate(self, texts: str, decoding: DecodingConfig | None = None) -> str: ...
    @overload
    def translate(
        self, texts: Sequence[str], decoding: DecodingConfig | None = None
    ) -> list[str]: ...
    def translate(
        self, texts: str | Sequence[str], decoding: DecodingConfig | None = None
    ) -> str | list[str]:
        """Translates a string to a string, or several to a list in the same order.

        Args:
            texts: what to translate; a blank text gives an empty one. A text of more than
                max_length tokens is translated up to there, with a `CutTextWarning`.
            decoding: how to search; the translator's own way if not given.

        Raises:
            UserError: if texts are no strings of Unicode.
        """
        several = [texts] if isinstance(texts, str) else texts
        best = [found[0].text for found in self.translate_n_best(several, decoding)]
        return best[0] if isinstance(texts, str) else best

    def translate_n_best(
        self, texts: Sequence[str], decoding: DecodingConfig | None = None, *, seed: int = 0
    ) -> list[list[TranslatedText]]:
        """Gives the `num_best` translations of each text, the best first.

        Args:
            texts: see `translate`.
            decoding: how to search; the translator's own way if not given.
            seed: of sampling; other searches are not random.

        Returns:
            A list for each text; fewer than `num_best` where no more exist.

        Raises:
            UserError: if texts are no strings of Unicode, or there is no such seed.
        """
        check_number("seed", seed, 0)
        texts = _strings(texts)
        decoding = decoding or self.decoding
        found = [[TranslatedText("", 0.0)] for _ in texts]
        filled = [place for place, text in enumerate(texts) if text.strip()]
        source = self._tokenize([texts[place] for place in filled], filled)
        pairs = TokenizedPairs.without_targets(source)
        rng = jax.random.key(seed)
        batches = list(evaluation_batches(pairs, TOKENS_PER_BATCH, self.max_length))
        of_shape = collections.Counter(batch.source.shape for _, batch in batches)
        for count, (indices, batch) in enumerate(batches):
            rows = self._search(
                self.variables,
                batch.source,
                jax.random.fold_in(rng, count),
                decoding=decoding,
                num_halvings=_num_halvings(of_shape[batch.source.shape], decoding),
            )
            for index, hypotheses in zip(indices, self._texts(rows), strict=True):
                if index >= 0:
                    found[filled[index]] = hypotheses
        return found

    def attend(self, text: str, target: str | None = None) -> dict[str, Any]:
        """Translates a text and computes where the model looked as it wrote the translation.

        `view_attention(**translator.attend(text))` shows it.

        Args:
            text: what to translate.
            target: the translation, if it is not to be searched for.

        Returns:
            The arguments of `view_attention` for the best translation; samples are of seed 0.

        Raises:
            UserError: if a text is blank or longer than the model reads, or the model's attention
                is cuDNN's, which never holds the weights.
        """
        config, tokenizer = self.model.config, self.tokenizer
        check_holds_weights(config)
        source = encode_text(tokenizer, "text", text, self.max_length, begin=False, end=True)[None]
        if target is None:
            hypotheses = self._search(
                self.variables,
                source,
                jax.random.key(0),
                decoding=self.decoding,
                num_halvings=0,
            )
        else:
            longest = config.max_positions if SCHEMES[config.positions].has_table else None
            ids = encode_text(tokenizer, "target", target, longest, begin=False, end=True)
            score = jnp.zeros((1, 1))
            hypotheses = Hypotheses(ids[None, None], score, score, jnp.full((1, 1), len(ids)))
        (found,) = hypothesis_attention(self.model, self.variables, source, hypotheses)
        return {
            "weights": found.weights,
            "tokens": tokenizer.names(found.source),
            "target_tokens": tokenizer.names(found.read),
            "title": f"{text} → {tokenizer.decode(hypotheses.tokens[0, 0].tolist())}",
        }

    def _tokenize(self, texts: list[str], places: list[int]) -> TokenizedText:
        source = TokenizedText.encode(self.tokenizer, texts)
        for index in np.flatnonzero(source.lengths > self.max_length):
            warnings.warn(
                f"line {places[index] + 1} has {source.lengths[index]} tokens: only the first "
                f"{self.max_length} are translated; split it into sentences",
                CutTextWarning,
                stacklevel=4,
            )
        return source.cut(self.max_length)

    def _texts(self, hypotheses: Hypotheses) -> list[list[TranslatedText]]:
        tokens, scores = np.asarray(hypotheses.tokens), np.asarray(hypotheses.scores)
        return [
            [
                TranslatedText(self.tokenizer.decode(ids.tolist()), float(score))
                for ids, score in zip(row_tokens, row_scores, strict=True)
                if np.isfinite(score)
            ]
            for row_tokens, row_scores in zip(tokens, scores, strict=True)
        ]


def _check_vocabulary(variables: Any, tokenizer: Tokenizer) -> None:
    """Refuses another tokenizer's file; there may be no variables yet."""
    rows = (
        tokenizer.vocab_size
        if variables is None
        else len(variables["params"]["embedding"]["table"])
    )
    if rows != tokenizer.vocab_size:
        raise UserError(
            f"the tokenizer has {tokenizer.vocab_size:,} ids but the model {rows:,}: restore the "
            "tokenizer.json that was trained with the model"
        )


def _num_halvings(num_batches: int, decoding: DecodingConfig) -> int:
    """How often searches of so many batches of a shape leave their settled half behind."""
    return 2 if decoding.method == "beam" and num_batches >= BATCHES_WORTH_HALVING else 0


def search_batch(
    model, variables, source, rng, *, decoding: DecodingConfig, num_halvings: int
) -> Hypotheses:
    """Decodes a batch; one compilation serves all batches of the same shape."""
    max_length = source.shape[1] + decoding.max_extra_length
    if SCHEMES[model.config.positions].has_table:
        max_length = min(max_length, model.config.max_positions)
    return search(
        decoding,
        lambda tokens, cache: model.apply(variables, tokens, cache, method=model.decode),
        # The prompt takes one position, and the last token found is never read.
        model.apply(variables, source, max_length, method=model.start),
        jnp.full((source.shape[0], 1), BOS, jnp.int32),
        max_length=max_length,
        max_lengths=jnp.sum(source != PAD, axis=1) + decoding.max_extra_length,
        eos_id=EOS,
        pad_id=PAD,
        rng=rng,
        num_halvings=num_halvings,
    )


def greedy(decoding: DecodingConfig) -> DecodingConfig:
    """The quick form of a search, for a look at a model in training."""
    return dataclasses.replace(decoding, method="greedy", num_best=1)
