"""Our training step, and those of other systems for the same work."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from peers.size import DROPOUT_RATE, Size
from turns import Contender

from flax_transformer.errors import UserError
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig
from flax_transformer.modules.layer_options import ComputeType

OURS, TORCH = "flax_transformer", "torch"
FLAX_EXAMPLE, FLAX_EXAMPLE_LOSS_ONLY = "flax example", "flax example, loss only"
# Whether a step of the example also computes its logged metrics.
WITH_METRICS = {FLAX_EXAMPLE: True, FLAX_EXAMPLE_LOSS_ONLY: False}


def model_config(size: Size, dtype: ComputeType) -> EncoderDecoderConfig:
    """Our model of a size, with dropout in the same places as the other systems."""
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


def our_step(size: Size, dtype: ComputeType) -> Contender:
    """Our training step."""
    return Contender("our_step", {"size": size._asdict(), "dtype": dtype})


def peers(
    size: Size, dtype: ComputeType, *, torch: bool, flax_examples: Path | None
) -> dict[str, Contender]:
    """Names the training steps of other systems.

    Args:
        size: of the model and of the batch.
        dtype: type of the computation.
        torch: whether to include PyTorch.
        flax_examples: checkout of the Flax repository; adds its translation example if given.

    Raises:
        UserError: if one of them is missing.
    """
    job: dict[str, Any] = {"size": size._asdict(), "dtype": dtype}
    contenders = {}
    if torch:
        contenders[TORCH] = Contender("peers.torch_step", job)
        if find_spec("torch") is None:
            raise UserError("PyTorch is not installed: pip install torch, or leave --torch out")
    if flax_examples is not None:
        job = job | {"directory": check_flax_examples(flax_examples)}
        for name, with_metrics in WITH_METRICS.items():
            contenders[name] = Contender("peers.flax_step", job | {"with_metrics": with_metrics})
    return contenders


def check_flax_examples(directory: Path) -> str:
    """Returns the absolute path of a checkout of the Flax repository; rejects other folders."""
    if not (directory / "examples" / "wmt" / "train.py").is_file():
        raise UserError(
            f"no examples/wmt/train.py in {directory}: give --flax-examples a checkout of "
            "github.com/google/flax"
        )
    return str(directory.resolve())
