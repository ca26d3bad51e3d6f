import os
import subprocess
import sys

import jax
import pytest

from flax_transformer.runtime.process import repeat_bits

FLAG = "--xla_gpu_deterministic_ops=true"
# Three steps of a small model with dropout, with either seed; prints the number of devices, and of
# each training a digest of every bit of its state and metrics.
TRAININGS = """
from flax_transformer.runtime.process import repeat_bits
repeat_bits()
from flax_transformer.runtime.process import spare_threads
spare_threads()
import hashlib
import jax, numpy as np, optax
from small_tasks import pair_batch, translation_task
from flax_transformer.models import EncoderDecoderConfig
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import init_state, make_train_step

config = EncoderDecoderConfig(
    num_encoder_layers=1, num_decoder_layers=1, d_model=14, d_ff=11, num_heads=2,
    residual_dropout_rate=0.1, norm="batch",
)
task, optimizer = translation_task(config, 13), optax.adam(0.01)
devices = choose_devices()
step = make_train_step(task.loss, optimizer, max_skipped=1, axis_name=devices.axis_name)
update = devices.compile(step)
first = jax.device_get(init_state(task.init(jax.random.key(0)), optimizer))
print(len(devices.devices))
for seed in (3, 5):
    state, draw = devices.place(first), np.random.default_rng(0)
    for _ in range(3):
        batch = pair_batch(*(draw.integers(3, 13, (8, size), dtype=np.int32) for size in (5, 7)))
        state, metrics = update(state, devices.share(batch), jax.random.key(seed))
    leaves = jax.tree.leaves(jax.device_get((state, metrics)))
    print(hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).hexdigest())
"""


def digests(num_devices: int) -> list[str]:
    """What is printed by a process of its own, which compiles anew."""
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices}",
        "JAX_ENABLE_COMPILATION_CACHE": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    process = subprocess.run(
        [sys.executable, "-c", TRAININGS],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    count, *printed = process.stdout.split()
    assert int(count) == num_devices
    return printed


@pytest.mark.parametrize("num_devices", [1, 2])
def test_trainings_with_dropout_give_the_same_bits_in_two_processes(num_devices):
    first, other_seed = digests(num_devices)
    assert digests(num_devices) == [first, other_seed]
    assert first != other_seed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, FLAG),
        ("--xla_cpu_enable_fast_math=false", f"--xla_cpu_enable_fast_math=false {FLAG}"),
        ("--xla_gpu_deterministic_ops=false", f"--xla_gpu_deterministic_ops=false {FLAG}"),
    ],
)
def test_the_flag_is_added_to_those_of_the_user_and_counts(monkeypatch, before, after):
    if before is None:
        monkeypatch.delenv("XLA_FLAGS", raising=False)
    else:
        monkeypatch.setenv("XLA_FLAGS", before)
    repeat_bits()
    assert os.environ["XLA_FLAGS"] == after


def test_xla_would_not_start_with_a_flag_that_it_does_not_know():
    """So a version of XLA that drops our flag is found by the trainings above."""
    process = subprocess.run(
        [sys.executable, "-c", "import jax; jax.devices()"],
        env=os.environ | {"XLA_FLAGS": "--xla_gpu_deterministic_opz=true"},
        capture_output=True,
        text=True,
    )
    assert process.returncode != 0
    assert "Unknown flag in XLA_FLAGS" in process.stderr
    assert jax.devices()
