"""A trained language model that continues texts."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from flax_transformer.data.tokenizer import BOS, EOS, PAD, Tokenizer
from flax_transformer.decoding.hypotheses import Hypotheses
from flax_transformer.decoding.search import DecodingConfig, search
from flax_transformer.errors import UserError, check_number
from flax_transformer.functional.cache import Cache
from flax_transformer.models.attention_weights import check_holds_weights
from flax_transformer.models.decoder_only import DecoderOnly
from flax_transformer.tasks.attention import encode_text, hypothesis_attention


class Generator:
    """Continues many texts with a model that is loaded once.

    A model reads at most max_length tokens. Where a text outgrows that, it goes on from the last
    half of what was read, as often as needed, so texts of any length can be written.

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

    def generate(
        self,
        prompts: Sequence[str],
        decoding: DecodingConfig | None = None,
        *,
        length: int | None = None,
        seed: int = 0,
    ) -> list[list[str]]:
        """Continues each prompt `num_best` times.

        Args:
            prompts: beginnings; an empty one begins a document.
            decoding: how the next token is chosen; the generator's own way if not given.
            length: tokens to write at most; decoding's max_extra_length if not given.
            seed: of sampling; other searches are not random.

        Returns:
            For each prompt its continuations, without the prompt.

        Raises:
            UserError: if prompts are no strings, or a beam would have to outgrow max_length.
        """
        check_number("seed", seed, 0)
        if isinstance(prompts, str):
            raise UserError(f"prompts is one string, {prompts!r:.60}: give a list of strings")
        decoding = decoding or self.decoding
        length = decoding.max_extra_length if length is None else length
        check_number("length", length)
        if not prompts:
            return []
        # Several draws for a prompt are draws for several prompts, so that each outgrows the
        # model's reach alone.
        copies = decoding.num_best if decoding.method == "sample" else 1
        texts = [
            self.tokenizer.encode(prompt) or [EOS] for prompt in prompts for _ in range(copies)
        ]
        if decoding.method == "beam":
            return self._search_once(texts, decoding, length)
        written = self._write(texts, decoding, length, jax.random.key(seed))
        decoded = [self.tokenizer.decode(ids) for ids in written]
        return [decoded[i : i + copies] for i in range(0, len(decoded), copies)]

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
        return self._search(
            self.variables,
            prompts,
            jax.random.key(0),
            decoding=dataclasses.replace(self.decoding, num_best=1),
            max_length=length,
        )

    def _write(
        self, texts: list[list[int]], decoding: DecodingConfig, length: int, rng: Any
    ) -> list[list[int]]:
        """Writes piece by piece until every text has ended or is long enough."""
        one = dataclasses.replace(decoding, num_best=1)
        written: list[list[int]] = [[] for _ in texts]
        ended = [False] * len(texts)
        for count, (prompts, room) in enumerate(self._pieces(texts, written)):
            found = self._search(
                self.variables,
                prompts,
                jax.random.fold_in(rng, count),
                decoding=one,
                max_length=room,
            )
            for row, tokens in enumerate(np.asarray(found.tokens)[:, 0].tolist()):
                if not ended[row]:
                    written[row] += tokens[: length - len(written[row])]
                    ended[row] = EOS in tokens or len(written[row]) >= length
            if all(ended):
                return written
        raise AssertionError("pieces have no end")

    def _pieces(
        self, texts: list[list[int]], written: list[list[int]]
    ) -> Iterator[tuple[np.ndarray, int]]:
        """What to read next, padded on the left, and how many tokens may then be written."""
        longest = max(map(len, texts))
        while True:
            read = max(self.max_length // 2, min(longest, self.max_length - 1), 1)
            tails = [(text + more)[-read:] for text, more in zip(texts, written, strict=True)]
            prompts = np.full((len(texts), read), PAD, np.int32)
            for row, tail in enumerate(tails):
                prompts[row, read - len(tail) :] = tail
            # The last token written is read by the next piece.
            yield prompts, self.max_length - read + 1
            longest = 0

    def _search_once(
        self, texts: list[list[int]], decoding: DecodingConfig, length: int
    ) -> list[list[str]]:
        prompts, room = next(self._pieces(texts, [[] for _ in texts]))
        if length > room:
            raise UserError(
                f"length {length} is more than the {room} tokens that a beam can write after this "
                f"prompt, for the model reads {self.max_length} at a time: lower it, or give "
                "--decoding.method sample"
            )
        found = self._search(
            self.variables, prompts, jax.random.key(0), decoding=decoding, max_length=length
        )
        return [
            [
                self.tokenizer.decode(tokens)
                for tokens, score in zip(row, scores, strict=True)
                if np.isfinite(score)
            ]
            for row, scores in zip(
                np.asarray(found.tokens).tolist(), np.asarray(found.scores), strict=True
            )
        ]


def _continue(model, variables, prompts, rng, *, decoding: DecodingConfig, max_length: int) -> Any:
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
        eos_id=EOS,
        pad_id=PAD,
        rng=rng,
    )
