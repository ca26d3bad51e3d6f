"""Encoder layers of videos, with separate attention over space and over time."""

import flax.linen as nn
from jaxtyping import Array, Float

from flax_transformer.functional.layout import Layout
from flax_transformer.modules.feed_forward_network import FEED_FORWARDS
from flax_transformer.modules.layer_options import LayerOptions
from flax_transformer.modules.layers import attend_to_self, residual_of_self_attention
from flax_transformer.modules.multi_head_attention import MultiHeadAttention
from flax_transformer.modules.norms import Residual


class SpaceTimeLayer(nn.Module):
    """Attention over the places of each time and over the times of each place, and feed-forward.

    one after the other:  y = x + space(x),  z = y + time(y)
    divided heads:        z = x + space(x) + time(x), each with one half of the heads
    (with pre- or post-norm and dropout, see `Residual`)

    The sum of the halves equals one output projection of all heads side by side.

    Attributes:
        options: sizes and choices.
        divides_heads: whether space and time get half of the heads each; else each has all heads
            and a separate residual connection.

    Reference:
        Arnab et al. 2021, section 3.3, models 3 (one after the other) and 4 (divided heads).
    """

    options: LayerOptions
    divides_heads: bool = False

    def setup(self) -> None:
        """Creates the sublayers and their connections."""
        options = self._half_of_the_heads() if self.divides_heads else self.options
        self.space_attention = MultiHeadAttention(options)
        if self.divides_heads:
            # With an output bias in both halves, it would be added twice.
            options = options.of_layer(attention_output_bias=False)
            self.attention_residual = residual_of_self_attention(self.options)
        else:
            self.space_residual = residual_of_self_attention(self.options)
            self.time_residual = residual_of_self_attention(self.options)
        self.time_attention = MultiHeadAttention(options)
        self.feed_forward = FEED_FORWARDS[self.options.feed_forward](self.options)
        self.feed_forward_residual = Residual(self.options)

    def _half_of_the_heads(self) -> LayerOptions:
        heads = self.options.num_heads
        groups = self.options.num_key_value_heads or heads
        if heads % 2 or groups % 2:
            raise ValueError(f"{heads} and {groups} heads cannot be halved")
        key_dim, value_dim = self.options.head_dims()
        return self.options.of_layer(
            num_heads=heads // 2,
            num_key_value_heads=groups // 2,
            key_dim=key_dim,
            value_dim=value_dim,
        )

    def __call__(
        self,
        inputs: Float[Array, "batch length d_model"],
        space: Layout,
        time: Layout,
        *,
        num_times: int,
        position_table: Float[Array, "num_heads ..."] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "batch length d_model"]:
        """Lets the tokens of a video attend to each other.

        Args:
            inputs: one vector a token, all places of the first time before those of the second.
            space: of the places [batch * num_times, num_places].
            time: of the times [batch * num_places, num_times].
            num_times: times of each video.
            position_table: see `MultiHeadAttention`.
            deterministic: no dropout.
        """
        batch, length, d_model = inputs.shape
        by_time = (batch, num_times, length // num_times, d_model)

        def over_space(x: Array) -> Array:
            places = x.reshape(by_time).reshape(-1, *by_time[2:])
            attended = attend_to_self(
                self.space_attention, places, space, position_table, deterministic
            )
            return attended.reshape(by_time).reshape(x.shape)

        def over_time(x: Array) -> Array:
            places_first = x.reshape(by_time).swapaxes(1, 2)
            sequences = places_first.reshape(-1, num_times, d_model)
            attended = attend_to_self(
                self.time_attention, sequences, time, position_table, deterministic
            )
            return attended.reshape(places_first.shape).swapaxes(1, 2).reshape(x.shape)

        others = (None, deterministic)
        if self.divides_heads:
            y = self.attention_residual.before(inputs, *others)
            x = self.attention_residual.after(inputs, over_space(y) + over_time(y), *others)
        else:
            y = over_space(self.space_residual.before(inputs, *others))
            x = self.space_residual.after(inputs, y, *others)
            y = over_time(self.time_residual.before(x, *others))
            x = self.time_residual.after(x, y, *others)
        y = self.feed_forward_residual.before(x, *others)
        y = self.feed_forward(y, deterministic=deterministic)
        return self.feed_forward_residual.after(x, y, *others)
