"""Programs to be timed, each with the number of floating-point operations that it asks for."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.stages import Lowered

from flax_transformer.data.batching import Batch
from flax_transformer.data.tokenizer import EOS
from flax_transformer.errors import UserError
from flax_transformer.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.tasks.translation import Translation, TranslationConfig
from flax_transformer.training.optimizer import OptimizerConfig, make_optimizer, make_schedule
from flax_transformer.training.parallel import Devices
from flax_transformer.training.step import init_state, make_train_step


class Work(NamedTuple):
    """A compiled program.

    Attributes:
        run: computes once, and returns what it computed.
        flops: floating-point operations of one run, as the model asks for them. They are counted
            before XLA compiles: what it adds, such as padding to a size the device likes, is a
            price of the size and not work.
    """

    run: Callable[[], Any]
    flops: float


def training_step(
    config: EncoderDecoderConfig, vocab_size: int, num_pairs: int, length: int
) -> Work:
    """Makes one training step on one device, with random sentences without padding."""
    task = Translation(TranslationConfig(), EncoderDecoder(config, vocab_size))
    optimizer_config = OptimizerConfig()
    schedule = make_schedule(optimizer_config, config.d_model, num_steps=1)
    optimizer = make_optimizer(optimizer_config, schedule)
    devices = Devices(jax.local_devices()[:1])
    batch = _random_batch(vocab_size, num_pairs, length)
    rng = jax.random.key(0)
    state = devices.replicate(init_state(task.init(rng), optimizer))
    step: Any = devices.compile(make_train_step(task.loss, optimizer))
    lowered = step.lower(state, batch, rng)
    compiled = lowered.compile()

    def run():
        nonlocal state
        state, metrics = compiled(state, batch, rng)
        return metrics

    return Work(run, _count_operations(lowered))


def matrix_product(size: int, dtype: str) -> Work:
    """Makes the product of two square matrices, at which devices are fastest."""
    left, right = jax.random.normal(jax.random.key(0), (2, size, size), dtype)
    lowered = jax.jit(jnp.matmul).lower(left, right)
    compiled = lowered.compile()
    return Work(lambda: compiled(left, right), _count_operations(lowered))


def _random_batch(vocab_size: int, num_pairs: int, length: int) -> Batch:
    shape = (2, num_pairs, length)
    source, target = np.random.default_rng(0).integers(EOS, vocab_size, shape, np.int32)
    return jax.device_put(Batch(source, target), jax.local_devices()[0])


def _count_operations(lowered: Lowered) -> float:
    analysis = lowered.cost_analysis()
    flops = analysis.get("flops", 0) if isinstance(analysis, dict) else 0
    if flops <= 0:
        raise UserError(
            f"JAX counts no operations on {jax.devices()[0].device_kind}: measure on another device"
        )
    return flops
