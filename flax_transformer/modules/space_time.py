"""Encoder layers of videos, whose attention goes over space and over time separately."""

from typing import Any

from jaxtyping import Array, Float

from flax_transformer.functional.layout import Layout
from flax_transformer.modules.layers import Layer, attend_to_self
from flax_transformer.modules.multi_head_attention import MultiHeadAttention


class SpaceTimeLayer(Layer):
    """Attention over the places of each time and over the times of each place, and feed-forward.

    one after the other:  y = x + space(x),  z = y + time(y)
    divided heads:        z = x + space(x) + time(x), each with one half of the heads
    (with pre- or post-norm and dropout, see `Residual`)

    The sum of the halves is what one output projection makes of all heads side by side.

    Attributes:
        divides_heads: whether the heads are divided among space and time; else both have all of
            them, and a residual connection of their own.

    Reference:
        Arnab et al. 2021, section 3.3, models 3 (one after the other) and 4 (divided heads).
    """

    divides_heads: bool = False

    def setup(self) -> None:
        """Creates the sublayers and their connections."""
        half = self._half_of_the_heads() if self.divides_heads else {}
        self.space_attention = self._attention(self.scheme, bidirectional=True, **half)
        # In both halves, one output bias would be there twice.
        self.time_attention = self._attention(
            self.scheme, bidirectional=True, use_output_bias=not self.divides_heads, **half
        )
        self.feed_forward = self._feed_forward()
        if self.divides_heads:
            self.attention_residual = self._residual()
        else:
            self.space_residual = self._residual()
            self.time_residual = self._residual()
        self.feed_forward_residual = self._residual()

    def _half_of_the_heads(self) -> dict[str, Any]:
        key_value_heads = self.num_key_value_heads or self.num_heads
        if self.num_heads % 2 or key_value_heads % 2:
            raise ValueError(f"{self.num_heads} and {key_value_heads} heads cannot be halved")
        per_head = self.d_model // self.num_heads
        return {
            "num_heads": self.num_heads // 2,
            "num_key_value_heads": key_value_heads // 2,
            "key_dim": self.key_dim or per_head,
            "value_dim": self.value_dim or per_head,
        }

    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        space: Layout,
        time: Layout,
        *,
        num_times: int,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Lets the tokens of a video attend to each other.

        Args:
            inputs: one vector a token, all places of the first time before those of the second.
            space: of the places [batch * num_times, num_places].
            time: of the times [batch * num_places, num_times].
            num_times: times of each video.
            deterministic: no dropout.
        """

        def over_space(x: Array) -> Array:
            places = x.reshape(by_time).reshape(-1, *by_time[2:])
            attended = _attend(self.space_attention, places, space)
            return attended.reshape(by_time).reshape(x.shape)

        def over_time(x: Array) -> Array:
            places_first = x.reshape(by_time).swapaxes(1, 2)
            sequences = places_first.reshape(-1, num_times, x.shape[-1])
            attended = _attend(self.time_attention, sequences, time)
            return attended.reshape(places_first.shape).swapaxes(1, 2).reshape(x.shape)

        def _attend(attention: MultiHeadAttention, x: Array, layout: Layout) -> Array:
            return attend_to_self(attention, x, layout, deterministic)

        def transform(x: Array) -> Array:
            return self.feed_forward(x, deterministic=deterministic)

        batch, length, d_model = inputs.shape
        by_time = (batch, num_times, length // num_times, d_model)
        if self.divides_heads:
            x = self.attention_residual(
                lambda x: over_space(x) + over_time(x), inputs, None, deterministic
            )
        else:
            x = self.space_residual(over_space, inputs, None, deterministic)
            x = self.time_residual(over_time, x, None, deterministic)
        return self.feed_forward_residual(transform, x, None, deterministic)
