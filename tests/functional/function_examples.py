"""How to call every function of the package: its arrays, its options, and what it must refuse."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from flax_transformer.functional import RotaryScaling, Written


class Draw:
    """Draws NumPy arrays, so that JAX chooses their precision when they are passed on."""

    def __init__(self, seed: int):
        self._rng = np.random.default_rng(seed)

    def normal(self, *shape: int) -> np.ndarray:
        return self._rng.normal(size=shape)

    def apart(self, *shape: int) -> np.ndarray:
        """Numbers in a random order whose neighbors along the last axis differ by about 0.5."""
        order = np.argsort(self._rng.random(shape), axis=-1)
        return 0.5 * order + self._rng.uniform(0, 0.1, size=shape)

    def positive(self, *shape: int) -> np.ndarray:
        return self._rng.uniform(0.5, 2.0, size=shape)

    def ids(self, below: int, *shape: int) -> np.ndarray:
        return self._rng.integers(0, below, shape, np.int32)

    def mask(self, *shape: int) -> np.ndarray:
        return self._rng.random(shape) < 0.7

    def key(self) -> jax.Array:
        return jax.random.key(int(self._rng.integers(1000)))


@dataclasses.dataclass(frozen=True)
class Example:
    """How to call a function.

    Attributes:
        draw: makes its arrays, by name, or in order for a function of any number of arrays.
        options: its other arguments, which are static under jit.
        refused: what it must refuse in place of one of these; a tuple in place of all arrays.
        message: what it says then, the wrong shape or value among it; empty where a function of
            every number by itself takes any shape.
        bfloat16_gives: type of what it makes of bfloat16 inputs.
    """

    draw: Callable[[Draw], Any]
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    refused: Any = None
    message: str = ""
    bfloat16_gives: str = "bfloat16"


def written(key: Any, value: Any) -> Written:
    """Of NumPy arrays, as `Draw` makes them."""
    return Written(key, value)


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape)


def no_ids(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int32)


QUERIES, KEYS, HEAD_DIM, VALUE_DIM = 5, 7, 3, 2
D_MODEL, D_FF, VOCAB, EXPERTS = 5, 7, 11, 4

EXAMPLES: dict[str, Example] = {
    "alibi_bias": Example(
        lambda draw: {
            "query_positions": draw.ids(13, QUERIES),
            "key_positions": draw.ids(13, KEYS),
            "slope": draw.positive(),
        },
        refused={"query_positions": no_ids(2, 3)},
        message=r"\(2, 3\)",
        bfloat16_gives="float32",
    ),
    "alibi_slope": Example(
        lambda draw: {"head": draw.ids(3)},
        {"num_heads": 3},
        refused={"num_heads": 0},
        message="not 0",
    ),
    "append": Example(
        lambda draw: {
            "written": written(draw.normal(2, 3, 7, 11), draw.normal(2, 3, 11, 5)),
            "new": written(draw.normal(2, 3, 7, 5), draw.normal(2, 3, 5, 5)),
            "length": draw.ids(4),
        },
        refused={"new": written(zeros(2, 1, 7, 5), zeros(2, 1, 5, 5))},
        message=r"new key \(2, 1, 7, 5\) does not fit \(2, 3, 7, 11\)",
    ),
    "attend": Example(
        lambda draw: {
            "query": draw.normal(QUERIES, HEAD_DIM),
            "key": draw.normal(KEYS, HEAD_DIM),
            "value": draw.normal(KEYS, VALUE_DIM),
            "mask": draw.mask(QUERIES, KEYS),
            "bias": draw.normal(QUERIES, KEYS),
            "dropout": draw.positive(QUERIES, KEYS),
        },
        refused={"key": zeros(7, 11)},
        message=r"\(5, 3\) and key \(7, 11\)",
    ),
    "attention_scores": Example(
        lambda draw: {
            "query": draw.normal(QUERIES, HEAD_DIM),
            "key": draw.normal(KEYS, HEAD_DIM),
            "bias": draw.normal(QUERIES, KEYS),
        },
        {"scale": 0.7, "cap": 2.0},
        refused={"bias": zeros(7, 5)},
        message=r"bias \(7, 5\) must be .* \(5, 7\)",
        bfloat16_gives="float32",
    ),
    "attention_weights": Example(
        lambda draw: {"scores": draw.normal(QUERIES, KEYS), "mask": draw.mask(QUERIES, KEYS)},
        refused={"mask": np.ones((7, 5), bool)},
        message=r"mask \(7, 5\) must be .* \(5, 7\)",
    ),
    "batch_norm": Example(
        lambda draw: {
            "inputs": draw.normal(3, D_MODEL),
            "mean": draw.normal(D_MODEL),
            "variance": draw.positive(D_MODEL),
            "scale": draw.normal(D_MODEL),
            "bias": draw.normal(D_MODEL),
        },
        refused={"mean": zeros(7)},
        message=r"mean \(7,\) .* \(3, 5\)",
    ),
    "batch_statistics": Example(
        lambda draw: {"inputs": draw.normal(2, 3, D_MODEL), "is_token": draw.mask(2, 3)},
        refused={"is_token": np.ones((3, 2), bool)},
        message=r"\(3, 2\) .* \(2, 3, 5\)",
        bfloat16_gives="float32",
    ),
    "causal_mask": Example(
        lambda draw: {"offset": draw.ids(3)},
        {"query_length": 3, "key_length": 5},
        refused={"offset": no_ids(3)},
        message=r"offset \(3,\)",
    ),
    "combine_masks": Example(
        lambda draw: (draw.mask(3, 5), draw.mask(5)),
        refused=(np.ones((3, 5), bool), np.ones((3, 7), bool)),
        message=r"\(3, 5\).*\(3, 7\)",
    ),
    "convolve": Example(
        lambda draw: {
            "inputs": draw.normal(11, D_MODEL),
            "kernel": draw.normal(3, D_MODEL, D_FF),
            "bias": draw.normal(D_FF),
            "segments": draw.ids(3, 11),
        },
        refused={"kernel": zeros(3, 2, D_FF)},
        message=r"inputs \(11, 5\), kernel \(3, 2, 7\) and bias \(7,\)",
    ),
    "dropout_multiplier": Example(
        lambda draw: {"dropout_rng": draw.key()},
        {"rate": 0.3, "shape": (3, 5)},
        refused={"rate": 1.0},
        message="not 1.0",
    ),
    "embed": Example(
        lambda draw: {"tokens": draw.ids(VOCAB, 3), "table": draw.normal(VOCAB, D_MODEL)},
        refused={"table": zeros(VOCAB)},
        message=r"\(11,\)",
    ),
    "embed_one_hot": Example(
        lambda draw: {"tokens": draw.ids(VOCAB, 3), "table": draw.normal(VOCAB, D_MODEL)},
        refused={"table": zeros(VOCAB)},
        message=r"\(11,\)",
    ),
    "expert_feed_forward": Example(
        lambda draw: {
            "inputs": draw.normal(2, 3, D_MODEL),
            "weights": draw.positive(2, 3, EXPERTS),
            "hidden_kernels": draw.normal(EXPERTS, D_MODEL, 2, D_FF),
            "hidden_biases": draw.normal(EXPERTS, 2, D_FF),
            "output_kernels": draw.normal(EXPERTS, D_FF, D_MODEL),
            "output_biases": draw.normal(EXPERTS, D_MODEL),
            "dropout": draw.positive(2, 3, EXPERTS, D_FF),
        },
        {"activation": "swiglu"},
        refused={"weights": zeros(2, 3, 7)},
        message=r"weights \(2, 3, 7\) .* \(2, 3, 5\)",
    ),
    "expert_weights": Example(
        lambda draw: {"router_logits": draw.apart(2, 3, EXPERTS)},
        {"experts_per_token": 2},
        refused={"experts_per_token": 5},
        message=r"\[1, 4\], not 5",
        bfloat16_gives="float32",
    ),
    "feed_forward": Example(
        lambda draw: {
            "inputs": draw.normal(3, D_MODEL),
            "hidden_kernel": draw.normal(D_MODEL, D_FF),
            "hidden_bias": draw.normal(D_FF),
            "output_kernel": draw.normal(D_FF, D_MODEL),
            "output_bias": draw.normal(D_MODEL),
            "dropout": draw.positive(3, D_FF),
        },
        refused={"inputs": zeros(3, 2)},
        message=r"inputs \(3, 2\) must be \(3, 5\)",
    ),
    "first_token": Example(
        lambda draw: {"hidden": draw.normal(3, D_MODEL), "is_token": draw.mask(3)},
        refused={"is_token": np.ones(5, bool)},
        message=r"hidden \(3, 5\) and is_token \(5,\)",
    ),
    "geglu": Example(
        lambda draw: {"hidden": draw.normal(3, 2, D_FF)},
        refused={"hidden": zeros(3, D_FF)},
        message=r"\(3, 7\)",
    ),
    "geglu_tanh": Example(
        lambda draw: {"hidden": draw.normal(3, 2, D_FF)},
        refused={"hidden": zeros(3, D_FF)},
        message=r"\(3, 7\)",
    ),
    "gelu": Example(lambda draw: {"hidden": draw.normal(3, D_FF)}),
    "gelu_tanh": Example(lambda draw: {"hidden": draw.normal(3, D_FF)}),
    "grid_coordinates": Example(
        lambda draw: {"tokens": draw.normal(6, D_MODEL)},
        {"grid": (2, 3)},
        refused={"grid": (2, 5)},
        message=r"tokens \(6, 5\) are not one for each cell of a grid \(2, 5\)",
    ),
    "label_smoothed_cross_entropy": Example(
        lambda draw: {
            "logits": draw.normal(2, 3, VOCAB),
            "targets": draw.ids(VOCAB, 2, 3),
            "weights": draw.positive(2, 3),
        },
        {"label_smoothing": 0.1},
        refused={"weights": zeros(2)},
        message=r"\(2, 3, 11\), targets \(2, 3\) and weights \(2,\)",
        bfloat16_gives="float32",
    ),
    "lineage_mask": Example(
        lambda draw: {"mask": draw.mask(6, 2, 5), "lineage": draw.ids(3, 6, 5)},
        {"members": 3},
        refused={"lineage": no_ids(6, 7)},
        message=r"lineage \(6, 7\)",
    ),
    "linear_cross_entropy": Example(
        lambda draw: {
            "hidden": draw.normal(2, 3, HEAD_DIM),
            "table": draw.normal(VOCAB, HEAD_DIM),
            "targets": draw.ids(VOCAB, 2, 3),
            "weights": draw.positive(2, 3),
            "bias": draw.normal(VOCAB),
        },
        {"label_smoothing": 0.1, "cap": 2.0},
        refused={"table": zeros(VOCAB, 2)},
        message=r"hidden \(2, 3, 3\) and table \(11, 2\)",
        bfloat16_gives="float32",
    ),
    "lay_out": Example(
        lambda draw: {"segments": draw.ids(3, 2, 7)},
        {"causal": True, "window": 3},
        refused={"window": 0},
        message="not 0",
    ),
    "lay_out_cached": Example(
        lambda draw: {"is_token": draw.mask(2, 7), "length": draw.ids(4)},
        {"new_length": 3, "window": 2},
        refused={"new_length": 11},
        message=r"11 new tokens do not fit a cache \(2, 7\)",
    ),
    "lay_out_unpadded": Example(
        lambda draw: {"tokens": draw.ids(3, 2, 7)},
        {"window": 3},
        refused={"tokens": no_ids(7)},
        message=r"tokens \(7,\)",
    ),
    "lay_down": Example(
        lambda draw: {"key": draw.normal(6, 5, 2, 7), "value": draw.normal(6, 5, 2, 3)},
        {"members": 3},
        refused={"value": zeros(6, 1, 2, 3)},
        message=r"value \(6, 1, 2, 3\)",
    ),
    "layer_norm": Example(
        lambda draw: {
            "inputs": draw.normal(3, D_MODEL),
            "scale": draw.normal(D_MODEL),
            "bias": draw.normal(D_MODEL),
        },
        refused={"bias": zeros(7)},
        message=r"bias \(7,\) .* \(3, 5\)",
    ),
    "learned_positions": Example(
        lambda draw: {"positions": draw.ids(5, 3), "table": draw.normal(5, D_MODEL)},
        refused={"positions": no_ids(7)},
        message=r"7 positions do not fit a table \(5, 5\)",
    ),
    "load_balancing_loss": Example(
        lambda draw: {
            "router_logits": draw.apart(2, 3, EXPERTS),
            "is_token": draw.mask(2, 3),
        },
        {"experts_per_token": 2},
        refused={"is_token": np.ones((3, 2), bool)},
        message=r"is_token \(3, 2\) must be \(2, 3\)",
        bfloat16_gives="float32",
    ),
    "max_of_tokens": Example(
        lambda draw: {"hidden": draw.normal(3, D_MODEL), "is_token": draw.mask(3)},
        refused={"is_token": np.ones(5, bool)},
        message=r"hidden \(3, 5\) and is_token \(5,\)",
    ),
    "mean_of_tokens": Example(
        lambda draw: {"hidden": draw.normal(3, D_MODEL), "is_token": draw.mask(3)},
        refused={"is_token": np.ones(5, bool)},
        message=r"hidden \(3, 5\) and is_token \(5,\)",
    ),
    "multi_head_attend": Example(
        lambda draw: {
            "query": draw.normal(2, QUERIES, 3, HEAD_DIM),
            "key": draw.normal(2, KEYS, 1, HEAD_DIM),
            "value": draw.normal(2, KEYS, 1, VALUE_DIM),
            "mask": draw.mask(2, QUERIES, KEYS),
            "bias": draw.normal(2, 3, QUERIES, KEYS),
            "dropout": draw.positive(2, 3, QUERIES, KEYS),
        },
        refused={"value": zeros(2, 11, 1, 2)},
        message=r"\(2, 7, 1, 3\) and value \(2, 11, 1, 2\)",
    ),
    "padding_mask": Example(lambda draw: {"segments": draw.ids(2, 3, 5)}),
    "position_numbers": Example(
        lambda draw: {"positions": draw.ids(13, 7)},
        {"d_model": D_MODEL},
        refused={"d_model": 0},
        message="not 0",
    ),
    "add_low_rank": Example(
        lambda draw: {
            "kernel": draw.normal(D_MODEL, 2, D_FF),
            "down": draw.normal(D_MODEL, 3),
            "up": draw.normal(3, 2, D_FF),
        },
        {"scale": 2.0},
        refused={"down": zeros(3, D_MODEL)},
        message=r"down \(3, 5\) and up \(3, 2, 7\) .* kernel \(5, 2, 7\)",
    ),
    "project": Example(
        lambda draw: {
            "inputs": draw.normal(3, 2, D_MODEL),
            "kernel": draw.normal(2, D_MODEL, D_FF),
        },
        {"num_axes": 2},
        refused={"kernel": zeros(D_MODEL, D_FF)},
        message=r"inputs \(3, 2, 5\) .* first 2 axes of kernel \(5, 7\)",
    ),
    "quantize": Example(
        lambda draw: {"array": draw.normal(D_MODEL, 2, D_FF)},
        {"axis": (0, 1)},
        refused={"array": no_ids(5, 2)},
        message="array is int32",
        bfloat16_gives="float32",
    ),
    "random_trials": Example(
        lambda draw: {"rng": draw.key()},
        {"threshold": 2**14, "shape": (3, 5)},
        refused={"shape": (3, 2**17, 2**17)},
        message="17,179,869,184 elements",
    ),
    "read_all": Example(
        lambda draw: {"written": written(draw.normal(2, 3, 7, 10), draw.normal(2, 3, 10, 5))},
    ),
    "read_own": Example(
        lambda draw: {"written": written(draw.normal(2, 3, 7, 10), draw.normal(2, 3, 10, 5))},
        {"members": 2},
        refused={"members": 3},
        message=r"\(2, 3, 10, 5\).*3 members",
    ),
    "relative_bias": Example(
        lambda draw: {
            "query": draw.normal(QUERIES, HEAD_DIM),
            "query_positions": draw.ids(5, QUERIES),
            "key_positions": draw.ids(5, KEYS),
            "table": draw.normal(5, HEAD_DIM),
        },
        refused={"table": zeros(4, HEAD_DIM)},
        message=r"table \(4, 3\) .* \(5, 3\)",
        bfloat16_gives="float32",
    ),
    "relu": Example(lambda draw: {"hidden": draw.normal(3, D_FF)}),
    "resize_position_table": Example(
        lambda draw: {"table": draw.normal(7, D_MODEL)},
        {"grid": (2, 3), "new_grid": (3, 5), "method": "bilinear"},
        refused={"grid": (2, 5)},
        message=r"table \(7, 5\) of a grid \(2, 5\)",
    ),
    "rms_norm": Example(
        lambda draw: {"inputs": draw.normal(3, D_MODEL), "scale": draw.normal(D_MODEL)},
        refused={"scale": zeros(7)},
        message=r"scale \(7,\) .* \(3, 5\)",
    ),
    "rotary": Example(
        lambda draw: {"x": draw.normal(5, 7), "positions": draw.ids(13, 5)},
        refused={"positions": no_ids(3)},
        message=r"\(5, 7\) and positions \(3,\)",
    ),
    "rotary_angles": Example(
        lambda draw: {"positions": draw.ids(13, 5)},
        {"num_pairs": 7, "base": 100.0, "scaling": RotaryScaling("llama3", 3.0, 71)},
        refused={"positions": no_ids(2, 3)},
        message=r"positions \(2, 3\) must be one row",
    ),
    "scaled_positions": Example(
        lambda draw: {"positions": draw.ids(7, 7), "lengths": 1 + draw.ids(7, 7)},
        {"d_model": D_MODEL},
        refused={"lengths": no_ids(5)},
        message=r"\(7,\) and lengths \(5,\)",
    ),
    "segment_lengths": Example(
        lambda draw: {"segments": draw.ids(3, 11)},
        refused={"segments": no_ids(2, 3)},
        message=r"\(2, 3\)",
    ),
    "segment_mask": Example(
        lambda draw: {
            "query_segments": draw.ids(3, 2, QUERIES),
            "key_segments": draw.ids(3, 2, KEYS),
        },
        refused={"key_segments": no_ids(3, 7)},
        message=r"\(2, 5\) and key_segments \(3, 7\)",
    ),
    "segment_positions": Example(
        lambda draw: {"segments": draw.ids(3, 11)},
        refused={"segments": no_ids(2, 3)},
        message=r"\(2, 3\)",
    ),
    "silu": Example(lambda draw: {"hidden": draw.normal(3, D_FF)}),
    "sinusoidal_2d_positions": Example(
        lambda draw: {"coordinates": draw.ids(13, 7, 2)},
        {"d_model": D_MODEL},
        refused={"coordinates": no_ids(7, 3)},
        message=r"\(7, 3\)",
    ),
    "sinusoidal_positions": Example(
        lambda draw: {"positions": draw.ids(13, 7)},
        {"d_model": D_MODEL},
        refused={"d_model": 0},
        message="not 0",
    ),
    "soft_cap": Example(
        lambda draw: {"x": draw.normal(3, D_MODEL)},
        {"cap": 0.7},
        refused={"cap": 0.0},
        message="cap must be positive, not 0.0",
    ),
    "split_patches": Example(
        lambda draw: {"image": draw.normal(6, 10, 2)},
        {"size": (2, 5)},
        refused={"size": (3, 7)},
        message=r"image \(6, 10, 2\) is not filled by pieces of \(3, 7\)",
    ),
    "split_tubelets": Example(
        lambda draw: {"video": draw.normal(4, 6, 10, 2)},
        {"size": (2, 3, 5)},
        refused={"size": (3, 3, 5)},
        message=r"video \(4, 6, 10, 2\) is not filled by pieces of \(3, 3, 5\)",
    ),
    "swiglu": Example(
        lambda draw: {"hidden": draw.normal(3, 2, D_FF)},
        refused={"hidden": zeros(3, D_FF)},
        message=r"\(3, 7\)",
    ),
    "t5_bias": Example(
        lambda draw: {
            "query_positions": draw.ids(13, QUERIES),
            "key_positions": draw.ids(13, KEYS),
            "table": draw.normal(8),
        },
        {"max_distance": 7},
        refused={"table": zeros(2, 8)},
        message=r"\(2, 8\)",
    ),
    "t5_bucket": Example(
        lambda draw: {"distances": draw.ids(300, 11) - 150},
        refused={"num_buckets": 30},
        message="not 30",
    ),
    "token_logits": Example(
        lambda draw: {
            "hidden": draw.normal(2, 3, D_MODEL),
            "table": draw.normal(VOCAB, D_MODEL),
            "bias": draw.normal(VOCAB),
        },
        {"cap": 2.0},
        refused={"hidden": zeros(2, 3, 2)},
        message=r"hidden \(2, 3, 2\) and table \(11, 5\)",
        bfloat16_gives="float32",
    ),
    "token_segments": Example(lambda draw: {"tokens": draw.ids(2, 3, 5), "pad_id": draw.ids(5)}),
    "weighted_values": Example(
        lambda draw: {
            "weights": draw.positive(QUERIES, KEYS),
            "value": draw.normal(KEYS, VALUE_DIM),
            "dropout": draw.positive(QUERIES, KEYS),
        },
        refused={"value": zeros(5, 2)},
        message=r"weights \(5, 7\) and value \(5, 2\)",
    ),
    "window_mask": Example(
        lambda draw: {"offset": draw.ids(3)},
        {"query_length": 3, "key_length": 5, "window": 2},
        refused={"offset": no_ids(3)},
        message=r"offset \(3,\)",
    ),
}
