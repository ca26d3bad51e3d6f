"""Programs to time, each with its number of floating-point operations."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import PRNGKeyArray

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.data.tokens.tokenizer import EOS, NUM_SPECIAL, Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.functional.losses import label_smoothed_cross_entropy
from flax_transformer.functional.projection import project
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig
from flax_transformer.tasks.target_tokens import shift_right
from flax_transformer.tasks.task import Loss
from flax_transformer.tasks.translation.translation_task import TranslationTask
from flax_transformer.training.optimizer.optimizer_config import (
    OptimizerConfig,
    make_optimizer,
    make_schedule,
)
from flax_transformer.training.parallel import Devices, choose_devices
from flax_transformer.training.step import (
    LossFunction,
    TrainState,
    init_state,
    make_train_step,
)


class Work(NamedTuple):
    """A compiled program.

    Attributes:
        run: computes once, and returns the result.
        flops: floating-point operations of one run that the model needs. They are counted before
            XLA compiles, so operations that XLA adds, such as for padding to a suitable size, do
            not count as work.
    """

    run: Callable[[], Any]
    flops: float


class _Training(NamedTuple):
    """The trainable state of a step on one device, and random sentences without padding."""

    task: TranslationTask
    optimizer: optax.GradientTransformation
    devices: Devices
    state: TrainState
    batch: Batch
    rng: PRNGKeyArray


def training_step(
    config: EncoderDecoderConfig, vocab_size: int, num_pairs: int, length: int
) -> Work:
    """Makes one training step on one device, with random sentences without padding."""
    task, optimizer, devices, state, batch, rng = _begin(config, vocab_size, num_pairs, length)

    def step(loss: LossFunction) -> Callable[..., Any]:
        return make_train_step(loss, optimizer, max_skipped=1)

    jitted: Any = devices.compile(step(task.loss))
    compiled = jitted.lower(state, batch, rng).compile()

    def run():
        nonlocal state
        state, metrics = compiled(state, batch, rng)
        return metrics

    # XLA counts the body of a loop only once, so loss and attention in parts cannot be counted.
    return Work(run, _count_operations(step(_plain_loss(task)), state, batch, rng))


def _plain_loss(task: TranslationTask) -> LossFunction:
    """The loss without padding and dropout; computes all logits and attention weights at once."""
    config = dataclasses.replace(task.model.config, attention_implementation="xla")
    model = task.model.clone(config=config)

    def loss(variables, batch, rng):
        target = jnp.asarray(batch.target)
        read = shift_right(target, jnp.asarray(batch.target_segments), task.tokenizer.bos_id)
        # Dropout's random bits are integers, which XLA counts too.
        logits = model.apply(variables, batch.source, read, deterministic=True)
        config = task.experiment.task
        loss, weight = label_smoothed_cross_entropy(
            logits, target, jnp.ones(target.shape), config.label_smoothing, config.smoothing_over
        )
        return Loss(loss, weight, {}, {})

    return loss


def training_loss(
    config: EncoderDecoderConfig, vocab_size: int, num_pairs: int, length: int
) -> Callable[[], Any]:
    """Makes only the loss of the same step, with dropout but without gradient and update."""
    task, _, _, state, batch, rng = _begin(config, vocab_size, num_pairs, length)
    arguments = {"params": state.params, **state.statistics}, batch, rng
    compiled = jax.jit(task.loss).lower(*arguments).compile()
    return lambda: compiled(*arguments)


def parameter_update(config: EncoderDecoderConfig, vocab_size: int) -> Callable[[], Any]:
    """Makes only the update of the same step, from a given gradient."""
    _, optimizer, _, state, _, _ = _begin(config, vocab_size, num_pairs=1, length=1)
    params, moments = state.params, state.optimizer_state
    gradient = jax.tree.map(jnp.ones_like, params)

    def update(params, moments, gradient):
        updates, moments = optimizer.update(gradient, moments, params)
        return optax.apply_updates(params, updates), moments

    jitted = jax.jit(update, donate_argnums=(0, 1))
    compiled = jitted.lower(params, moments, gradient).compile()

    def run():
        nonlocal params, moments
        params, moments = compiled(params, moments, gradient)
        return params

    return run


def _begin(config: EncoderDecoderConfig, vocab_size: int, num_pairs: int, length: int) -> _Training:
    # A tokenizer of this many letters, one of them for unknown characters.
    letters = [chr(0x10000 + number) for number in range(vocab_size - NUM_SPECIAL - 1)]
    data = ParallelTextConfig(max_length=min(64, config.position_limit() or 64))
    task = TranslationTask(Experiment(data, config), Tokenizer.of_characters(letters))
    optimizer_config = OptimizerConfig()
    schedule = make_schedule(optimizer_config, config.d_model, num_steps=1)
    optimizer = make_optimizer(optimizer_config, schedule)
    devices = choose_devices(devices=jax.local_devices()[:1])
    rng = jax.random.key(0)
    state = devices.place(init_state(task.init(rng), optimizer))
    batch = _random_batch(vocab_size, num_pairs, length)
    return _Training(task, optimizer, devices, state, batch, rng)


def matrix_product(size: int, dtype: str) -> Work:
    """Makes the product of two square matrices, the fastest operation of devices, as in layers."""
    left, right = jax.random.normal(jax.random.key(0), (2, size, size), dtype)
    compiled = jax.jit(project).lower(left, right).compile()
    return Work(lambda: compiled(left, right), _count_operations(project, left, right))


def _random_batch(vocab_size: int, num_pairs: int, length: int) -> Batch:
    shape = (2, num_pairs, length)
    source, target = np.random.default_rng(0).integers(EOS, vocab_size, shape, np.int32)
    segments = np.ones_like(source)
    return jax.device_put(Batch(source, target, segments, segments), jax.local_devices()[0])


def _count_operations(function: Callable[..., Any], *arguments: Any) -> float:
    """Counts the operations of the program for a CPU; JAX cannot count for GPUs and TPUs."""
    shapes = jax.eval_shape(lambda *given: given, *arguments)
    try:
        cpu = jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        raise UserError(
            "JAX counts operations on a CPU, and JAX_PLATFORMS excludes it: unset JAX_PLATFORMS"
        ) from None
    with jax.default_device(cpu):
        analysis = jax.jit(function).lower(*shapes).cost_analysis()
    flops = analysis.get("flops", 0) if isinstance(analysis, dict) else 0
    if flops <= 0:
        raise UserError(f"JAX {jax.__version__} counts no operations: use another version")
    return flops
