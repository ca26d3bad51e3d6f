import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from small import with_fields
from small_tasks import pair_batch

from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.training.durability.explained_errors import explain_out_of_memory
from flax_transformer.training.parallel import choose_devices

# What XLA says on a GPU, a TPU and a CPU, with what of it is repeated.
MESSAGES = {
    "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 7406166528 bytes.\n"
    "BufferAssignment OOM Debugging.\nBufferAssignment stats:": (
        "Out of memory while trying to allocate 7406166528 bytes"
    ),
    "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm. "
    "Used 21.95G of 15.48G hbm.": "Ran out of memory in memory space hbm",
    "Execution of replica 0 failed: RESOURCE_EXHAUSTED: Out of memory while trying to allocate "
    "36.01GiB.": "Out of memory while trying to allocate 36.01GiB",
}
EXHAUSTED = next(iter(MESSAGES))


def explained(experiment: Experiment, rows: int = 6, num_devices: int = 1, **options) -> str:
    batch = pair_batch(np.full((rows, 31), 5, np.int32), np.full((rows, 43), 5, np.int32))
    batch.source_segments[:, 29:] = 0
    devices = choose_devices(devices=jax.devices()[:num_devices])
    message = options.get("message", EXHAUSTED)
    with pytest.raises(UserError) as caught, explain_out_of_memory(experiment, devices, batch):
        raise jax.errors.JaxRuntimeError(message)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("message", MESSAGES)
def test_the_batch_and_what_xla_said_are_named(message):
    assert explained(Experiment(), message=message).startswith(
        "out of memory on a batch of 6 rows, 31 source and 43 target tokens long, 432 tokens "
        f"without padding ({MESSAGES[message]}): raise "
    )


def remedies(*arguments, **options) -> list[str]:
    steps = explained(*arguments, **options).partition("): ")[2].split("; or ")
    return [step.partition(" (")[0] for step in steps]


def test_remedies_come_in_the_order_of_what_they_change():
    assert remedies(Experiment()) == [
        "raise --training.accumulate-steps to 2",
        "lower --data.tokens-per-batch to 2048",
        "lower --data.max-length to 21",
        "add --model.remat all --model.scan-layers",
    ]


def test_what_is_at_its_end_already_is_not_proposed():
    experiment = with_fields(Experiment(), "training", accumulate_steps=3)
    assert remedies(experiment)[0] == "raise --training.accumulate-steps to 6"
    assert remedies(experiment, rows=6, num_devices=2)[0].startswith("lower --data.tokens-per-")
    experiment = with_fields(experiment, "data", tokens_per_batch=131, max_length=131)
    assert remedies(experiment, rows=3)[0] == "lower --data.max-length to 21"
    experiment = with_fields(experiment, "model", remat="all", scan_layers=True)
    assert remedies(experiment, rows=3) == ["lower --data.max-length to 21"]


@pytest.mark.parametrize(("size", "proposed"), [(7, "lower --data.batch-size to 3"), (1, None)])
def test_a_number_of_pairs_is_lowered_where_it_is_given(size, proposed):
    data = dataclasses.replace(Experiment().data, batch_size=size)
    found = remedies(dataclasses.replace(Experiment(), data=data))
    assert [step for step in found if "batch" in step] == ([proposed] if proposed else [])


@pytest.mark.parametrize(
    "error", [jax.errors.JaxRuntimeError("INTERNAL: a bug"), ValueError("RESOURCE_EXHAUSTED")]
)
def test_other_errors_pass_unchanged(error):
    batch = pair_batch(np.ones((2, 3), np.int32), np.ones((2, 3), np.int32))
    context = explain_out_of_memory(Experiment(), choose_devices(), batch)
    with pytest.raises(type(error)) as caught, context:
        raise error
    assert caught.value is error


def test_an_array_that_no_machine_holds():
    batch = pair_batch(np.ones((2, 3), np.int32), np.ones((2, 3), np.int32))
    context = explain_out_of_memory(Experiment(), choose_devices(), batch)
    said = r"\(Out of memory .*281474976710656 bytes"
    with pytest.raises(UserError, match=said), context:
        jnp.zeros(2**46, jnp.float32).block_until_ready()
