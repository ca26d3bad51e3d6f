"""Our training step, and those of other systems for the same work."""

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from peers.size import DROPOUT_RATE, Size
from work import Work, training_step

from flax_transformer.errors import UserError
from flax_transformer.models.config import ComputeType
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig

OURS, TORCH = "flax_transformer", "torch"
FLAX_EXAMPLE, FLAX_EXAMPLE_LOSS_ONLY = "flax example", "flax example, loss only"


def model_config(size: Size, dtype: ComputeType) -> EncoderDecoderConfig:
    """Our model of a size, with dropout wherever the other systems have it."""
    return EncoderDecoderConfig(
        num_encoder_layers=size.num_layers,
        num_decoder_layers=size.num_layers,
        d_model=size.d_model,
        d_ff=size.d_ff,
        num_heads=size.num_heads,
        norm_placement="pre",
        residual_dropout_rate=DROPOUT_RATE,
        attention_dropout_rate=DROPOUT_RATE,
        feed_forward_dropout_rate=DROPOUT_RATE,
        dtype=dtype,
    )


def our_work(size: Size, dtype: ComputeType) -> Work:
    """Compiles our training step."""
    config = model_config(size, dtype)
    return training_step(config, size.vocab_size, size.num_pairs, size.length)


def our_step(size: Size, dtype: ComputeType) -> Callable[[], Any]:
    """The same without the count of its operations, as the others give theirs."""
    return our_work(size, dtype).run


def peers(
    size: Size, dtype: ComputeType, *, torch: bool, flax_examples: Path | None
) -> dict[str, Callable[[], Callable[[], Any]]]:
    """Names the other systems and how to make their steps.

    Args:
        size: of the model and of the batch.
        dtype: type of the computation.
        torch: whether PyTorch is among them.
        flax_examples: checkout of the Flax repository whose translation example is, if given.

    Raises:
        UserError: if one of them is not there.
    """
    makers = {}
    if torch:
        makers[TORCH] = functools.partial(_torch_step, size, dtype)
        if find_spec("torch") is None:
            raise UserError("PyTorch is not installed: pip install torch, or leave --torch out")
    if flax_examples is not None:
        check_flax_examples(flax_examples)
        for name, with_metrics in ((FLAX_EXAMPLE, True), (FLAX_EXAMPLE_LOSS_ONLY, False)):
            makers[name] = functools.partial(_flax_step, size, dtype, flax_examples, with_metrics)
    return makers


def check_flax_examples(directory: Path) -> None:
    """Refuses a folder that is no checkout of the Flax repository."""
    if not (directory / "examples" / "wmt" / "train.py").is_file():
        raise UserError(
            f"no examples/wmt/train.py in {directory}: give --flax-examples a checkout of "
            "github.com/google/flax"
        )


def _torch_step(*arguments: Any) -> Callable[[], Any]:
    from peers.torch_step import make_step

    return make_step(*arguments)


def _flax_step(*arguments: Any) -> Callable[[], Any]:
    from peers.flax_step import make_step

    return make_step(*arguments)
