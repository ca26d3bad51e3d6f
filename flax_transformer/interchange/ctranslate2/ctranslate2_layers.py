"""Our parameters in the layers of CTranslate2, whose matrices are [outputs, inputs]."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax.traverse_util import flatten_dict

from flax_transformer.errors import UserError
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.interchange.ctranslate2.ctranslate2_options import (
    TABLES,
    decoder_options,
    layer_options,
)
from flax_transformer.models.decoder_only import DecoderOnlyConfig


def make_spec(
    ctranslate2: Any, config: Any, variables: Mapping[str, Any], num_positions: int
) -> Any:
    """Returns a specification with all parameters of a model, without vocabularies.

    Args:
        ctranslate2: the package.
        config: of a model that `check_options` accepts, without scan_layers.
        variables: of the model.
        num_positions: tokens of the longest text, for tables of positions.

    Raises:
        UserError: if a parameter is not among those of CTranslate2.
    """
    specs, ours = ctranslate2.specs, _Parameters(config, variables, num_positions)
    shared, further = layer_options(ctranslate2, config), decoder_options(config)
    if isinstance(config, DecoderOnlyConfig):
        decoder = specs.TransformerDecoderSpec(
            config.num_layers, config.num_heads, **shared, **further
        )
        ours.fill_decoder(decoder, "")
        spec = specs.TransformerDecoderModelSpec(decoder)
    else:
        numbers = config.num_encoder_layers, config.num_decoder_layers
        encoder = specs.TransformerEncoderSpec(numbers[0], config.num_heads, **shared)
        decoder = specs.TransformerDecoderSpec(numbers[1], config.num_heads, **shared, **further)
        ours.fill_encoder(encoder)
        ours.fill_decoder(decoder, "target_")
        spec = specs.TransformerSpec(encoder, decoder)
    if unused := ours.unused():
        raise UserError(
            f"--format ctranslate2 cannot hold {', '.join(unused)}: give --format onnx or "
            "--format stablehlo"
        )
    spec.config.layer_norm_epsilon = config.norm_epsilon
    return spec


class _Parameters:
    """The parameters of a model by their paths, and which of them have a place already."""

    def __init__(self, config: Any, variables: Mapping[str, Any], num_positions: int):
        self.config, self.num_positions = config, num_positions
        self._arrays: dict[str, Any] = flatten_dict(variables, sep="/")
        self._placed: set[str] = set()

    def unused(self) -> list[str]:
        """Returns the paths of parameters that were not taken."""
        return sorted(self._arrays.keys() - self._placed)

    def fill_encoder(self, spec: Any) -> None:
        """Fills an encoder."""
        self._fill_ends(spec, spec.embeddings[0], "source_", "encoder")
        for number, layer in enumerate(spec.layer):
            ours = f"encoder_{number}"
            self._fill_attention(layer.self_attention, f"{ours}/attention", "encoder")
            self._fill_feed_forward(layer.ffn, f"{ours}/feed_forward")
            self._fill_norms(layer, ours, "attention_residual")

    def fill_decoder(self, spec: Any, prefix: str) -> None:
        """Fills a decoder; `prefix` is that of our names of positions and their norm."""
        config = self.config
        self._fill_ends(spec, spec.embeddings, prefix, "decoder")
        table = "table" if config.tied_logits else "logits_table"
        spec.projection.weight = self._take(f"embedding/{table}")
        if config.logits_bias:
            spec.projection.bias = self._take("embedding/bias")
        if config.embedding_scaling == "logits":
            spec.scale_outputs = np.float32(config.d_model**-0.5)
        if config.logits_soft_cap is not None:
            spec.final_logit_softcapping = np.float32(config.logits_soft_cap)
        for number, layer in enumerate(spec.layer):
            ours = f"decoder_{number}"
            self._fill_attention(layer.self_attention, f"{ours}/self_attention", "decoder")
            if hasattr(layer, "attention"):
                self._fill_attention(layer.attention, f"{ours}/cross_attention")
            self._fill_feed_forward(layer.ffn, f"{ours}/feed_forward")
            self._fill_norms(layer, ours, "self_attention_residual")

    def _take(self, path: str, pattern: str = "") -> np.ndarray:
        """Returns a parameter in another order of its axes; it may be taken several times."""
        self._placed.add(f"params/{path}")
        array = np.asarray(self._arrays[f"params/{path}"])
        # A copy, as CTranslate2 quantizes in place.
        return np.array(rearrange(array, pattern) if pattern else array, np.float32, order="C")

    def _fill_ends(self, spec: Any, embeddings: Any, prefix: str, side: str) -> None:
        """Fills what is before and after the layers."""
        config = self.config
        embeddings.weight = self._take("embedding/table")
        spec.scale_embeddings = config.embedding_scaling == "inputs"
        if config.positions in TABLES:
            spec.position_encodings.encodings = self._encodings(f"{prefix}positions/table")
        if config.embedding_norm:
            self._fill_norm(spec.layernorm_embedding, f"{prefix}embedding_norm")
        if config.norm_placement != "post":
            self._fill_norm(spec.layer_norm, f"{side}_norm")

    def _encodings(self, path: str) -> np.ndarray:
        """The encodings of all positions."""
        config, offset = self.config, self.config.position_offset or 0
        scheme = SCHEMES[config.positions]
        table = jnp.asarray(self._take(path)) if scheme.has_table else None
        number = self.num_positions if table is None else len(table) - offset
        if scheme.encode is None:
            return np.zeros((number, config.d_model), np.float32)
        positions = jnp.arange(number) + offset
        lengths = jnp.full_like(positions, number)
        encodings = scheme.encode(positions, lengths, config.d_model, table)
        return np.asarray(encodings, np.float32)

    def _fill_attention(self, spec: Any, path: str, side: str = "") -> None:
        """Fills attention; the encoder or the decoder of `side` may have a table of positions."""
        config = self.config
        names = ("query", "key", "value")
        # Attention to a source has the queries in a matrix of their own.
        groups = (names,) if side else (names[:1], names[1:])
        for linear, group in zip(spec.linear, groups, strict=False):
            linear.weight = self._joined(path, group, "kernel", "i heads d -> (heads d) i")
            if config.attention_bias:
                linear.bias = self._joined(path, group, "bias", "heads d -> (heads d)")
        spec.linear[-1].weight = self._take(f"{path}/output/kernel", "heads d o -> o (heads d)")
        if config.attention_bias and config.attention_output_bias:
            spec.linear[-1].bias = self._take(f"{path}/output/bias")
        if config.attention_scale is not None:
            spec.queries_scale = np.float32(config.attention_scale)
        if config.normalize_query_key:
            spec.q_norm.gamma = self._take(f"{path}/query_scale")
            spec.k_norm.gamma = self._take(f"{path}/key_scale")
        if side and config.positions == "t5":
            table = self._take(f"{side}_positions/table", "heads buckets -> buckets heads")
            spec.relative_attention_bias = table
            spec.relative_attention_max_distance = np.int32(config.t5_max_distance)

    def _joined(self, path: str, names: Sequence[str], kind: str, pattern: str) -> np.ndarray:
        return np.concatenate([self._take(f"{path}/{name}/{kind}", pattern) for name in names])

    def _fill_feed_forward(self, spec: Any, path: str) -> None:
        """Fills a feed-forward network, whose gate is the first half of our hidden layer."""
        linears = [spec.linear_0]
        if hasattr(spec, "linear_0_noact"):
            linears.append(spec.linear_0_noact)
        kernel = self._take(f"{path}/hidden/kernel")
        kernels = kernel.reshape(len(kernel), len(linears), -1).transpose(1, 2, 0)
        for linear, weight in zip(linears, kernels, strict=True):
            linear.weight = np.ascontiguousarray(weight)
        if self.config.feed_forward_bias:
            biases = self._take(f"{path}/hidden/bias").reshape(len(linears), -1)
            for linear, bias in zip(linears, biases, strict=True):
                linear.bias = bias
            spec.linear_1.bias = self._take(f"{path}/output/bias")
        spec.linear_1.weight = self._take(f"{path}/output/kernel", "i o -> o i")

    def _fill_norms(self, layer: Any, path: str, of_self: str) -> None:
        """Fills the normalizations of a layer."""
        residuals = [f"{path}/{of_self}", f"{path}/feed_forward_residual"]
        if self.config.norm_placement == "both":
            inputs = [layer.input_layer_norm, layer.pre_feedforward_layer_norm]
            outputs = [layer.post_attention_layer_norm, layer.post_feedforward_layer_norm]
            if hasattr(layer, "attention"):
                inputs.append(layer.external_pre_encoder_attention_layer_norm)
                outputs.append(layer.external_post_encoder_attention_layer_norm)
        else:
            inputs, outputs = [layer.self_attention.layer_norm, layer.ffn.layer_norm], []
            if hasattr(layer, "attention"):
                inputs.append(layer.attention.layer_norm)
        if hasattr(layer, "attention"):
            residuals.append(f"{path}/cross_attention_residual")
        for spec, residual in zip(inputs, residuals, strict=True):
            self._fill_norm(spec, f"{residual}/normalize")
        for spec, residual in zip(outputs, residuals, strict=False):
            self._fill_norm(spec, f"{residual}/normalize_output")

    def _fill_norm(self, spec: Any, path: str) -> None:
        """Fills a normalization; a missing bias is one of zeros."""
        config = self.config
        scale = self._take(f"{path}/scale")
        spec.gamma = scale + 1 if config.norm == "rms_plus_one" else scale
        if config.norm == "layer":
            spec.beta = self._take(f"{path}/bias") if config.norm_bias else np.zeros_like(scale)
