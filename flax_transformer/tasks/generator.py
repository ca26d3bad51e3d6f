"""A trained language model that continues texts."""

import dataclasses
import functools
import itertools
from collections.abc import Sequence
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from flax_transformer.data.tokenizer import BOS, EOS, PAD, Tokenizer
from flax_transformer.decoding.hypotheses import Hypotheses
from flax_transformer.decoding.row_keys import row_keys
from flax_transformer.decoding.search import DecodingConfig, search
from flax_transformer.decoding.stop import cut_at_stop
from flax_transformer.errors import UserError, check_number
from flax_transformer.functional.cache import Cache
from flax_transformer.models.attention_weights import check_holds_weights
from flax_transformer.models.decoder_only import DecoderOnly
from flax_transformer.tasks.attention import encode_text, hypothesis_attention
from flax_transformer.tasks.continuation import Continuation, PieceBatch, piece_batches
from flax_transformer.tasks.given_texts import list_texts
from flax_transformer.tasks.text_scores import TextScore, score_texts


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
        model: DecoderOnly,
        variables: Any,
        tokenizer: Tokenizer,
        decoding: DecodingConfig,
        max_length: int,
    ):
        self.model = model
        self.variables = variables
        self.tokenizer = tokenizer
        self.decoding = decoding
        self.max_length = max_length
        self._search = jax.jit(
            functools.partial(_continue, model), static_argnames=("decoding", "max_length")
        )

    @overload
    def generate(
        self,
        prompts: str,
        decoding: DecodingConfig | None = None,
        *,
        length: int | None = None,
        seed: int = 0,
    ) -> list[str]: ...
    @overload
    def generate(
        self,
        prompts: Sequence[str],
        decoding: DecodingConfig | None = None,
        *,
        length: int | None = None,
        seed: int = 0,
    ) -> list[list[str]]: ...
    def generate(
        self,
        prompts: str | Sequence[str],
        decoding: DecodingConfig | None = None,
        *,
        length: int | None = None,
        seed: int = 0,
    ) -> list[str] | list[list[str]]:
        """Continues each prompt `num_best` times.

        Args:
            prompts: one beginning or several; an empty one begins a document.
            decoding: how the next token is chosen; the generator's own way if not given.
            length: tokens to write at most; decoding's max_extra_length if not given.
            seed: of sampling; other searches are not random.

        Returns:
            For each prompt its continuations, without the prompt; of a string only its own.

        Raises:
            UserError: if prompts are no strings, or a beam would have to outgrow max_length.
        """
        check_number("seed", seed, 0)
        decoding = decoding or self.decoding
        length = decoding.max_extra_length if length is None else length
        check_number("length", length)
        # Several draws for a prompt are draws for several prompts, so that each outgrows the
        # model's reach on its own.
        copies = decoding.num_best if decoding.method == "sample" else 1
        texts = [
            Continuation(self.tokenizer.encode(prompt) or [EOS], length, sample)
            for prompt in list_texts(prompts)
            for sample in range(copies)
        ]
        if decoding.method == "beam":
            found = self._search_once(texts, decoding)
        else:
            written = self._write(texts, decoding, seed)
            found = [written[start : start + copies] for start in range(0, len(texts), copies)]
        decoded = [
            [cut_at_stop(self.tokenizer.decode(ids), decoding.stop) for ids in several]
            for several in found
        ]
        return decoded[0] if isinstance(prompts, str) else decoded

    @overload
    def score(self, texts: str) -> TextScore: ...
    @overload
    def score(self, texts: Sequence[str]) -> list[TextScore]: ...
    def score(self, texts: str | Sequence[str]) -> TextScore | list[TextScore]:
        """Computes the log-probability of a text, or of each of several; see `score_texts`.

        Raises:
            UserError: if texts are no strings of Unicode.
        """
        several = list_texts(texts)
        scores = score_texts(self.model, self.variables, self.tokenizer, several, self.max_length)
        return scores[0] if isinstance(texts, str) else scores

    def attend(self, text: str, length: int | None = None) -> dict[str, Any]:
        """Computes where the model looks as it reads a text, and as it goes on with it.

        `view_attention(**generator.attend(text))` shows it.

        Args:
            text: what is read.
            length: tokens to write after it at most; None: nothing is written.

        Returns:
            The arguments of `view_attention` for the text and the best continuation; samples are
            of seed 0. The last token written is in the title alone: nothing reads it.

        Raises:
            UserError: if the text is blank, both are longer than the model reads, or the model's
                attention is cuDNN's, which never holds the weights.
        """
        check_holds_weights(self.model.config)
        ids = encode_text(self.tokenizer, "text", text, self.max_length, begin=False, end=False)
        hypotheses = self._found(ids[None], length)
        (found,) = hypothesis_attention(self.model, self.variables, ids[None], hypotheses)
        names = self.tokenizer.names(found.read)
        written = "" if length is None else self.tokenizer.decode(hypotheses.tokens[0, 0].tolist())
        return {
            "weights": found.weights,
            "tokens": names,
            "target_tokens": names,
            "title": text + written,
        }

    def _found(self, prompts: Int[Array, "rows prompt_length"], length: int | None) -> Hypotheses:
        """The best continuation that fits into one piece; without a length one that is not read."""
        if length is None:
            score, ones = jnp.zeros((1, 1)), jnp.ones((1, 1), jnp.int32)
            return Hypotheses(jnp.full((1, 1, 1), EOS), score, score, ones)
        room = self.max_length - prompts.shape[1] + 1
        check_number("length", length)
        if length > room:
            raise UserError(
                f"length {length} is more than the {room} tokens that the model can write after "
                f"this text, for it reads {self.max_length} at a time: lower it, or shorten the "
                "text"
            )
        text = Continuation(prompts[0].tolist(), length)
        (batch,) = piece_batches([text.piece(self.max_length)], self.max_length)
        found = self._find(batch, dataclasses.replace(self.decoding, num_best=1), 0)
        return found._replace(tokens=found.tokens[:, :, :length])

    def _write(
        self, texts: list[Continuation], decoding: DecodingConfig, seed: int
    ) -> list[list[int]]:
        """Writes piece by piece until every text has ended or is long enough."""
        one = dataclasses.replace(decoding, num_best=1)
        while growing := [text for text in texts if not text.has_ended]:
            pieces = [text.piece(self.max_length) for text in growing]
            for batch in piece_batches(pieces, self.max_length):
                found = self._find(batch, one, seed)
                lengths = np.asarray(found.lengths)[:, 0].tolist()
                tokens = np.asarray(found.tokens)[:, 0].tolist()
                for row, piece in enumerate(batch.pieces):
                    piece.text.add(tokens[row][: lengths[row]])
                    if decoding.stop:
                        text = self.tokenizer.decode(piece.text.written)
                        piece.text.has_ended |= cut_at_stop(text, decoding.stop) != text
        return [text.written for text in texts]

    def _search_once(
        self, texts: list[Continuation], decoding: DecodingConfig
    ) -> list[list[list[int]]]:
        """Gives the best continuations of each text that fit into one piece."""
        pieces = [text.piece(self.max_length) for text in texts]
        for text, piece in zip(texts, pieces, strict=True):
            if text.length > piece.limit:
                raise UserError(
                    f"length {text.length} is more than the {piece.limit} tokens that a beam can "
                    f"write after this prompt, for the model reads {self.max_length} at a time: "
                    "lower it, or give --decoding.method sample"
                )
        best: dict[Continuation, list[list[int]]] = {}
        for batch in piece_batches(pieces, self.max_length, decoding.beam_size):
            found = self._find(batch, decoding, 0)
            tokens, scores = np.asarray(found.tokens).tolist(), np.asarray(found.scores)
            for row, piece in enumerate(batch.pieces):
                exists = np.isfinite(scores[row])
                best[piece.text] = list(itertools.compress(tokens[row], exists))
        return [best[text] for text in texts]

    def _find(self, batch: PieceBatch, decoding: DecodingConfig, seed: int) -> Hypotheses:
        return self._search(
            self.variables,
            batch.prompts,
            batch.limits,
            batch.lengths,
            batch.numbers,
            jax.random.key(seed),
            # The same program whatever ends the texts.
            decoding=dataclasses.replace(decoding, stop=()),
            max_length=batch.max_length,
        )


def _continue(
    model,
    variables,
    prompts,
    limits,
    lengths,
    numbers,
    rng,
    *,
    decoding: DecodingConfig,
    max_length: int,
) -> Hypotheses:
    """Continues a batch of prompts; one compilation serves all of the same shape."""
    rows, prompt_length = prompts.shape
    capacity = prompt_length + max_length - 1

    def step(tokens: Array, cache: Cache) -> tuple[Array, Cache]:
        logits, cache = model.apply(variables, tokens, cache, method=model.decode)
        # They are no text, and a written PAD would be read as if nothing stood there.
        return logits.at[..., jnp.array([PAD, BOS])].set(-jnp.inf), cache

    return search(
        decoding,
        step,
        model.apply(variables, rows, capacity, method=model.start),
        jnp.asarray(prompts),
        max_length=max_length,
        max_lengths=limits,
        eos_id=EOS,
        pad_id=PAD,
        rng=row_keys(rng, numbers),
        prompt_lengths=lengths,
    )
