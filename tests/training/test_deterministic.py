import os
import subprocess
import sys

import jax
import pytest

from flax_transformer.training.deterministic import repeat_bits

FLAG = "--xla_gpu_deterministic_ops=true"
# Three steps of a small model with dropout; prints a digest of every bit of the state and metrics.
TRAINING = """
from flax_transformer.training.deterministic import repeat_bits
repeat_bits()
from flax_transformer.simulated_devices import spare_threads
spare_threads()
import hashlib, sys
import jax, numpy as np, optax
from flax_transformer.data.batch import Batch
from flax_transformer.models import EncoderDecoder, EncoderDecoderConfig
from flax_transformer.tasks.translation import Translation, TranslationConfig
from flax_transformer.training.parallel import Devices
from flax_transformer.training.step import init_state, make_train_step

config = EncoderDecoderConfig(
    num_encoder_layers=1, num_decoder_layers=1, d_model=14, d_ff=11, num_heads=2,
    residual_dropout_rate=0.1, norm="batch",
)
task, optimizer = Translation(TranslationConfig(), EncoderDecoder(config, 13)), optax.adam(0.01)
devices = Devices()
step = make_train_step(task.loss, optimizer, max_skipped=1, axis_name=devices.axis_name)
update = devices.compile(step)
state = devices.replicate(init_state(task.init(jax.random.key(0)), optimizer))
draw = np.random.default_rng(0)
for _ in range(3):
    batch = Batch(*(draw.integers(3, 13, (8, size), dtype=np.int32) for size in (5, 7)))
    state, metrics = update(state, devices.shard(batch), jax.random.key(int(sys.argv[1])))
leaves = jax.tree.leaves(jax.device_get((state, metrics)))
bits = b"".join(np.asarray(leaf).tobytes() for leaf in leaves)
print(len(devices.devices), hashlib.sha256(bits).hexdigest())
"""


def train(num_devices: int, seed: int) -> str:
    """The digest of a training in a process of its own, which compiles anew."""
    environment = os.environ | {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={num_devices}",
        "JAX_ENABLE_COMPILATION_CACHE": "0",
    }
    process = subprocess.run(
        [sys.executable, "-c", TRAINING, str(seed)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    count, digest = process.stdout.split()
    assert int(count) == num_devices
    return digest


@pytest.mark.parametrize("num_devices", [1, 2])
def test_two_trainings_with_dropout_give_the_same_bits(num_devices):
    first = train(num_devices, seed=3)
    assert train(num_devices, seed=3) == first
    assert train(num_devices, seed=5) != first


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
    """So a version of XLA that drops the flag is found here, where TRAINING fails to start."""
    process = subprocess.run(
        [sys.executable, "-c", "import jax; jax.devices()"],
        env=os.environ | {"XLA_FLAGS": "--xla_gpu_deterministic_opz=true"},
        capture_output=True,
        text=True,
    )
    assert process.returncode != 0
    assert "Unknown flag in XLA_FLAGS" in process.stderr
    assert jax.devices()
