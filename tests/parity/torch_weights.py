"""The weights of PyTorch layers as parameters of ours; a kernel is a weight on its side."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import torch
from torch import nn

Params = dict[str, Any]


class Affine(NamedTuple):
    """Any part that multiplies by a weight [outputs, inputs] and may add a bias."""

    weight: torch.Tensor
    bias: torch.Tensor | None


def draw_weights(module: nn.Module) -> Any:
    """Draws all weights, also the biases and scales that begin as zeros and ones."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in module.parameters():
            weight.normal_(0, 0.5, generator=generator)
    return module.eval()


def array(tensor: torch.Tensor) -> jnp.ndarray:
    return jnp.asarray(tensor.detach().numpy())


def linear(layer: Affine | nn.Linear) -> Params:
    params = {"kernel": array(layer.weight).T}
    return params if layer.bias is None else params | {"bias": array(layer.bias)}


def norm(layer: nn.LayerNorm) -> Params:
    return {"scale": array(layer.weight), "bias": array(layer.bias)}


def attention(
    query: Affine | nn.Linear,
    key: Affine | nn.Linear,
    value: Affine | nn.Linear,
    output: Affine | nn.Linear,
    num_heads: int,
    num_key_value_heads: int | None = None,
) -> Params:
    """The features of a head are adjacent in theirs, and have an axis of their own in ours."""
    groups = num_key_value_heads or num_heads

    def heads_apart(layer, heads):
        return {name: x.reshape(*x.shape[:-1], heads, -1) for name, x in linear(layer).items()}

    merged = linear(output)
    width = merged["kernel"].shape[-1]
    merged["kernel"] = merged["kernel"].reshape(num_heads, -1, width)
    return {
        "query": heads_apart(query, num_heads),
        "key": heads_apart(key, groups),
        "value": heads_apart(value, groups),
        "output": merged,
    }


def torch_attention(module: nn.MultiheadAttention) -> Params:
    """PyTorch stacks the three projections, unless memory has another width."""
    if module.in_proj_weight is not None:
        weights = module.in_proj_weight.chunk(3)
    else:
        weights = (module.q_proj_weight, module.k_proj_weight, module.v_proj_weight)
    biases = (None,) * 3 if module.in_proj_bias is None else module.in_proj_bias.chunk(3)
    query, key, value = map(Affine, weights, biases)
    return attention(query, key, value, module.out_proj, module.num_heads)


def encoder_layer(
    attention: Params,
    attention_norm: nn.LayerNorm,
    hidden: nn.Linear,
    output: nn.Linear,
    feed_forward_norm: nn.LayerNorm,
) -> Params:
    return {
        "attention": attention,
        "attention_residual": {"normalize": norm(attention_norm)},
        "feed_forward": {"hidden": linear(hidden), "output": linear(output)},
        "feed_forward_residual": {"normalize": norm(feed_forward_norm)},
    }


def decoder_layer(
    self_attention: Params,
    self_attention_norm: nn.LayerNorm,
    cross_attention: Params,
    cross_attention_norm: nn.LayerNorm,
    **encoder: Any,
) -> Params:
    """A layer of a decoder alone with attention to the memory in its middle."""
    layer = decoder_only_layer(self_attention, self_attention_norm, **encoder)
    return layer | {
        "cross_attention": cross_attention,
        "cross_attention_residual": {"normalize": norm(cross_attention_norm)},
    }


def decoder_only_layer(
    self_attention: Params, self_attention_norm: nn.LayerNorm, **encoder: Any
) -> Params:
    """An encoder layer under the names of a decoder's."""
    layer = encoder_layer(self_attention, self_attention_norm, **encoder)
    return {
        "self_attention": layer["attention"],
        "self_attention_residual": layer["attention_residual"],
        "feed_forward": layer["feed_forward"],
        "feed_forward_residual": layer["feed_forward_residual"],
    }


def pieces(layer: nn.Conv2d | nn.Conv3d) -> Params:
    """A convolution of patches or tubelets, whose channels come first in theirs."""
    kernel = array(layer.weight)
    kernel = jnp.moveaxis(kernel, (0, 1), (-1, -2))
    assert layer.bias is not None
    return {"kernel": kernel.reshape(-1, kernel.shape[-1]), "bias": array(layer.bias)}
