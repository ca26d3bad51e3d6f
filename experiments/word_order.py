"""Shows that an encoder sees word order with any positional scheme, but not without one.

    python experiments/word_order.py

Two sentences of the same four words go through a small encoder with random parameters. Without
positions, attention sees a set: a word has the same representation in both, up to rounding. With
any scheme its representations differ. A recurrent encoder does not need a scheme, as it reads the
words one after the other. Nothing is trained: the script shows what a model can distinguish, not
what it learns. Takes a few seconds on a CPU.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from rich.console import Console

import flax_transformer as ft
from flax_transformer.console import say, show_table

SENTENCES = ("The Avengers defeated Thanos", "Thanos defeated the Avengers")
WORDS: list[str] = sorted(set(SENTENCES[0].lower().split()))
D_MODEL = 32


class RecurrentEncoder(nn.Module):
    """Reads embedded tokens from left to right; each state depends on all earlier tokens."""

    vocab_size: int

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        """Represents every token by the state after reading it."""
        embedded = nn.Embed(self.vocab_size, D_MODEL)(tokens)
        states: Any = nn.RNN(nn.GRUCell(D_MODEL))(embedded)
        return states


def token_ids(sentence: str) -> list[int]:
    """Numbers the words of a sentence from 1, as 0 is padding."""
    return [1 + WORDS.index(word) for word in sentence.lower().split()]


def largest_difference(encode: Callable[[Array], Array]) -> float:
    """Computes the largest difference between the two representations of each word."""
    tokens = jnp.array([token_ids(sentence) for sentence in SENTENCES])
    representations = encode(tokens)
    # The words of both sentences in the same order.
    first, second = (x[jnp.argsort(row)] for x, row in zip(representations, tokens, strict=True))
    return float(jnp.abs(first - second).max())


def with_random_parameters(module: nn.Module, **options: Any) -> Callable[[Array], Array]:
    """Makes an encoder from a module with random parameters."""

    def encode(tokens: Array) -> Array:
        rng = np.random.default_rng(0)
        shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), tokens, **options))
        # The scale that keeps a product of D_MODEL features as large as the features.
        variables = jax.tree.map(
            lambda x: jnp.asarray(rng.normal(scale=D_MODEL**-0.5, size=x.shape), x.dtype), shapes
        )
        return jax.jit(lambda variables: module.apply(variables, tokens, **options))(variables)

    return encode


def transformer(positions: str) -> Callable[[Array], Array]:
    """Makes a small encoder."""
    config = ft.EncoderDecoderConfig(
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_model=D_MODEL,
        d_ff=2 * D_MODEL,
        num_heads=4,
        positions=positions,
    )
    model = ft.models.EncoderDecoder(config, vocab_size=1 + len(WORDS))
    return with_random_parameters(model, method=model.encode)


def main() -> None:
    """Prints the distances between the representations of each word."""
    encoders = {name: transformer(name) for name in ft.functional.SCHEMES}
    encoders["(recurrent)"] = with_random_parameters(RecurrentEncoder(1 + len(WORDS)))
    console = Console()
    say(console, "\n".join(SENTENCES))
    show_table(
        console,
        "the same word in both sentences",
        {
            name: {"largest difference": f"{largest_difference(encode):.7f}"}
            for name, encode in encoders.items()
        },
    )
    say(console, "0, but for rounding: the encoder cannot tell who defeated whom")


if __name__ == "__main__":
    main()
