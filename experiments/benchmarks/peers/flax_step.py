"""The training step of the Flax repository's translation example: its own code and pmap.

The example is imported from a checkout. Its train.py imports TensorFlow and other packages for
reading data and writing logs. A step does not call them, so empty stand-ins replace them, and they
need not be installed. Model, loss, metrics, optimizer and step are the example's.
"""

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax

# Imported before the stand-ins exist: these packages look for TensorFlow themselves.
from flax import jax_utils
from flax.training import checkpoints as _  # noqa: F401

from .size import DROPOUT_RATE, LABEL_SMOOTHING, Size
from .turn import Run, take_turn

STAND_INS = ("clu", "ml_collections", "tensorflow", "input_pipeline")
OWN = ("bleu", "decode", "models", "train")


def load(directory: Path) -> Any:
    """Imports the example's train.py; its attribute `models` is its models.py.

    Args:
        directory: checkout of the Flax repository.
    """
    with _found_in(directory / "examples" / "wmt"):
        return importlib.import_module("train")


@contextlib.contextmanager
def _found_in(folder: Path) -> Iterator[None]:
    """Makes the example's files importable by their bare names within the context."""
    hidden = {name: sys.modules.pop(name) for name in (*OWN, *STAND_INS) if name in sys.modules}
    sys.modules.update({name: mock.MagicMock() for name in STAND_INS})
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in (*OWN, *STAND_INS):
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


def make(size: Mapping[str, int], dtype: str, directory: str, with_metrics: bool) -> Run:
    """Makes a function that trains the example's model on one batch of random tokens.

    Args:
        size: the fields of `Size`.
        dtype: type of the computation.
        directory: checkout of the Flax repository.
        with_metrics: whether the step also computes accuracy and loss for the log, like the
            example. Our step reports its loss without a second pass over the logits.

    Returns:
        The step, which returns its metrics.
    """
    sizes = Size(**size)
    shape = (2, sizes.num_pairs, sizes.length)
    tokens = np.random.default_rng(0).integers(1, sizes.vocab_size, shape, np.int32)
    batch = dict(zip(("inputs", "targets"), tokens, strict=True))
    train = load(Path(directory))
    update, state = make_update(train, sizes, dtype, with_metrics=with_metrics)
    batch = jax_utils.replicate(batch, jax.local_devices()[:1])

    def step() -> dict[str, float]:
        nonlocal state
        state, metrics = update(state, batch)
        jax.block_until_ready(state)
        return {name: np.asarray(value).item() for name, value in metrics.items()}

    return step


def make_update(
    train: Any,
    size: Size,
    dtype: str,
    *,
    with_metrics: bool,
    attention_dropout_rate: float = DROPOUT_RATE,
) -> tuple[Callable[[Any, Any], Any], Any]:
    """Makes the example's update (state, batch) -> (state, metrics) on one device, and its state.

    Args:
        train: the example's module.
        size: of the model; the batch may have another size, but not longer sentences.
        dtype: type of the computation.
        with_metrics: see `make`.
        attention_dropout_rate: of the attention weights; other layers have DROPOUT_RATE.
    """
    if not with_metrics:
        train.compute_metrics = lambda logits, labels, weights: {}
    config = train.models.TransformerConfig(
        vocab_size=size.vocab_size,
        output_vocab_size=size.vocab_size,
        share_embeddings=True,
        logits_via_embedding=True,
        dtype=jnp.dtype(dtype),
        emb_dim=size.d_model,
        num_heads=size.num_heads,
        num_layers=size.num_layers,
        qkv_dim=size.d_model,
        mlp_dim=size.d_ff,
        max_len=size.length,
        dropout_rate=DROPOUT_RATE,
        attention_dropout_rate=attention_dropout_rate,
    )
    schedule = train.create_learning_rate_schedule(learning_rate=0.002, warmup_steps=1000)
    model = train.models.Transformer(config.replace(deterministic=True))
    tokens = jnp.ones((1, size.length))
    state = train.TrainState.create(
        apply_fn=model.apply,
        params=jax.jit(model.init)(jax.random.key(0), tokens, tokens)["params"],
        tx=optax.adamw(schedule, b1=0.9, b2=0.98, eps=1e-9, weight_decay=0.0),
        dynamic_scale=None,
    )
    devices = jax.local_devices()[:1]
    step = functools.partial(
        train.train_step,
        config=config,
        learning_rate_fn=schedule,
        label_smoothing=LABEL_SMOOTHING,
    )
    update = jax.pmap(step, axis_name="batch", donate_argnums=(0,), devices=devices)
    rngs = jax.random.split(jax.random.key(1), 1)
    return lambda state, batch: update(state, batch, dropout_rng=rngs), jax_utils.replicate(
        state, devices
    )


if __name__ == "__main__":
    take_turn(make)
