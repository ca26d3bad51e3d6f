from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import assert_close
from small_tasks import pair_batch, translation_task

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.packed_batches import pack, plan_rows
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenizer import BOS, EOS
from flax_transformer.models import EncoderDecoderConfig
from flax_transformer.tasks.target_tokens import shift_right
from flax_transformer.tasks.translation.translation_task import TranslationTask
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import init_state, make_train_step

VOCAB, ROW_LENGTH, NUM_PAIRS = 13, 17, 19


def make_text(seed: int) -> TokenizedText:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(0, 9, NUM_PAIRS).tolist()
    return TokenizedText.of([*rng.integers(3, VOCAB, size), EOS] for size in lengths)


PAIRS = TokenizedPairs(make_text(0), make_text(1))
ROWS = plan_rows(PAIRS, ROW_LENGTH, seed=0)
# The rows of four equal shares, the last of them empty.
INDICES = np.pad(np.arange(ROWS.num_rows), (0, -ROWS.num_rows % 4), constant_values=-1)
PACKED: Any = pack(PAIRS, ROWS, INDICES, ROW_LENGTH)


def alone(index: int) -> Batch:
    indices = np.array([index])
    return pair_batch(*(side.pad(indices, ROW_LENGTH)[0] for side in PAIRS[:2]))


def make_task(positions: str) -> TranslationTask:
    config = EncoderDecoderConfig(
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_model=12,
        d_ff=11,
        num_heads=2,
        residual_dropout_rate=0.0,
        positions=positions,
        max_positions=ROW_LENGTH,
    )
    return translation_task(config, VOCAB)


def test_rows_hold_several_pairs():
    assert PACKED.source_segments.max() > 2
    assert ROWS.num_rows < NUM_PAIRS / 2


def test_every_packed_target_begins_with_the_mark_and_holds_no_token_of_another():
    shifted = np.asarray(
        shift_right(jnp.asarray(PACKED.target), jnp.asarray(PACKED.target_segments), BOS)
    )
    for row, target, segments in zip(shifted, PACKED.target, PACKED.target_segments, strict=True):
        for number in range(1, segments.max() + 1):
            own = segments == number
            assert row[own].tolist() == [BOS, *target[own][:-1]]


# The scaled positions read the lengths of segments, too.
@pytest.mark.parametrize("positions", ["sinusoidal", "learned", "scaled"])
def test_loss_gradient_and_counts_are_sums_over_the_pairs_alone(positions):
    task = make_task(positions)
    variables = task.init(jax.random.key(0))

    @jax.jit
    def measure(batch):
        def loss(params):
            return task.loss({"params": params}, batch, jax.random.key(1))[:2]

        return jax.value_and_grad(loss, has_aux=True)(variables["params"]), task.count(
            variables, batch
        )

    parts = [measure(alone(index)) for index in range(NUM_PAIRS)]
    expected = jax.tree.map(lambda *values: np.sum(values, axis=0, dtype=np.float64), *parts)
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-5), measure(PACKED), expected)


@pytest.mark.parametrize(("num_devices", "accumulate_steps"), [(2, 1), (2, 2), (1, 4)])
def test_devices_and_micro_batches_do_not_change_the_update(num_devices, accumulate_steps):
    task, optimizer = make_task("sinusoidal"), optax.sgd(0.1)
    first = jax.device_get(init_state(task.init(jax.random.key(0)), optimizer))

    def update(num_devices, accumulate_steps):
        devices = choose_devices(devices=jax.devices()[:num_devices])
        step = make_train_step(
            task.loss,
            optimizer,
            max_skipped=1,
            accumulate_steps=accumulate_steps,
            axis_name=devices.axis_name,
        )
        batch = devices.share(PACKED)
        return devices.whole(devices.compile(step)(devices.place(first), batch, jax.random.key(1)))

    (state, metrics), (expected, expected_metrics) = (
        update(num_devices, accumulate_steps),
        update(1, 1),
    )
    assert metrics.weight == PAIRS.target.tokens.size
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-5), metrics, expected_metrics)
    jax.tree.map(lambda a, b: assert_close(a, b, 1e-5), state.params, expected.params)
