"""How long the outputs of a search may be, and which ids end and fill them."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Int


@dataclass(frozen=True, kw_only=True)
class SearchLimits:
    """Where every search ends.

    Attributes:
        max_length: most tokens generated, EOS included: the width of the result.
        eos_id: token that ends a hypothesis.
        pad_id: token that fills the rest of a hypothesis, and the prompt on the left.
        max_lengths: [batch], the limit of each example, for example its source length + 50; at
            least 1 and at most max_length are taken; None: max_length for all.
        prompt_lengths: [batch], tokens before the generated ones, for a rule about the least
            length, if they are more than the prompt holds; None: those of the prompt without
            padding.

    Raises:
        ValueError: if max_length is below 1.

    Example:
        >>> lengths = jnp.array([0, 4, 9])
        >>> limits = SearchLimits(max_length=5, eos_id=2, pad_id=0, max_lengths=lengths)
        >>> limits.of_examples(3).tolist()
        [1, 4, 5]
    """

    max_length: int
    eos_id: int
    pad_id: int
    max_lengths: Int[Array, " batch"] | None = None
    prompt_lengths: Int[Array, " batch"] | None = None

    def __post_init__(self) -> None:
        """Refuses outputs without room for a token."""
        if self.max_length < 1:
            raise ValueError(f"max_length must be at least 1, got {self.max_length}")

    def of_examples(self, batch: int) -> Int[Array, " batch"]:
        """Gives each example's own limit, in tokens.

        Args:
            batch: number of examples.

        Returns:
            [batch], int32.

        Raises:
            ValueError: if max_lengths is not of shape [batch].
        """
        if self.max_lengths is None:
            return jnp.full(batch, self.max_length, jnp.int32)
        if self.max_lengths.shape != (batch,):
            raise ValueError(
                f"max_lengths must have shape ({batch},), got {self.max_lengths.shape}"
            )
        return jnp.clip(self.max_lengths, 1, self.max_length).astype(jnp.int32)
