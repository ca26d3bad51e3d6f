import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from small import MODEL, PAIRS
from small_tasks import pair_batch, translation_task

from flax_transformer.data.batches.batch import Batch
from flax_transformer.data.batches.packed_batches import pack, plan_rows
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.tasks.task import Loss
from flax_transformer.tasks.translation.translation_task import TranslationTask
from flax_transformer.training.durability.not_finite import gradient_again, write_report
from flax_transformer.training.parallel import choose_devices
from flax_transformer.training.step import init_state, make_gradient, make_train_step

pytestmark = pytest.mark.usefixtures("quickly_compiled")

SGD, STEP, RNG_SEED = optax.sgd(0.1), 37, 5
BROKEN = "decoder_0/cross_attention/key/kernel"
# Rows of a batch: fewer pairs than rows, so that the last one is padding.
ROWS, FILLED = 8, 7


@functools.cache
def tokenizer() -> Tokenizer:
    return Tokenizer.train((text for pair in PAIRS for text in pair[:2]), vocab_size=307)


@functools.cache
def texts() -> TokenizedPairs:
    sides = [pair.source for pair in PAIRS], [pair.target for pair in PAIRS]
    source, target = (TokenizedText.encode(tokenizer(), side) for side in sides)
    return TokenizedPairs(source, target)


@functools.cache
def make_task() -> TranslationTask:
    config = dataclasses.replace(MODEL, residual_dropout_rate=0.1)
    return translation_task(config, tokenizer())


def make_batch() -> Batch:
    indices = np.where(np.arange(ROWS) < FILLED, np.arange(ROWS), -1)
    return pair_batch(*(side.pad(indices, 23)[0] for side in texts()[:2]))


def examples() -> list[dict[str, Any]]:
    return list(make_task().examples(make_batch()))


def make_params(broken: float | None) -> Any:
    params = jax.tree.map(np.array, make_task().init(jax.random.key(0))["params"])
    if broken is not None:
        params["decoder_0"]["cross_attention"]["key"]["kernel"][2, 1, 3] = broken
    return params


def test_after_a_skipped_update_it_is_found_where_numbers_are_not_finite(tmp_path):
    """With NaN in one parameter, the update is skipped, so its gradient can be had again."""
    devices, task, rng = (
        choose_devices(devices=jax.devices()[:1]),
        make_task(),
        jax.random.key(RNG_SEED),
    )
    state = devices.place(init_state({"params": make_params(np.nan)}, SGD))
    step = make_train_step(task.loss, SGD, max_skipped=1, accumulate_steps=2)
    after, _ = devices.compile(step)(state, devices.share(make_batch()), rng)
    gradient = make_gradient(task.loss, accumulate_steps=2)
    found = gradient_again(gradient, devices, after, STEP, make_batch(), rng)
    params = devices.whole(after.params)
    path = write_report(tmp_path / "a", STEP, found, params, make_batch(), examples())
    assert not jax.tree.leaves(after.params)[0].is_deleted()
    report = json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)
    assert report["step"] == STEP
    assert report["loss"] == report["gradient_norm"] == "nan"
    assert report["weight"] == np.count_nonzero(make_batch().target)
    kernel = report["parameters"][BROKEN]
    assert kernel["shape"] == [32, 2, 16]
    assert kernel["not_finite"] == 1
    assert kernel["gradient_norm"] == "nan"
    assert 0 < kernel["gradient_not_finite"] <= 32 * 2 * 16
    others = {name: values["not_finite"] for name, values in report["parameters"].items()}
    assert {name for name, count in others.items() if count} == {BROKEN}
    assert report["layers"]["decoder_0"] == "nan"
    assert report["layers"]["decoder_0/cross_attention"] == "nan"


@pytest.mark.parametrize("num_devices", [1, 2])
def test_norms_and_dropout_are_those_of_the_step(tmp_path, num_devices):
    """Where all is finite, and without an update, they can be compared with the step's own."""
    devices, task, rng = (
        choose_devices(devices=jax.devices()[:num_devices]),
        make_task(),
        jax.random.key(RNG_SEED),
    )
    state = devices.place(init_state({"params": make_params(None)}, SGD))
    gradient = make_gradient(task.loss, axis_name=devices.axis_name)
    reports = []
    for step in (STEP, STEP, STEP + 1):
        found = gradient_again(gradient, devices, state, step, make_batch(), rng)
        params = devices.whole(state.params)
        path = write_report(tmp_path / str(step), step, found, params, make_batch(), examples())
        reports.append(json.loads(path.read_text("utf-8")))
    assert reports[0] == reports[1]
    assert reports[0]["loss"] != reports[2]["loss"]
    late = state._replace(step=jnp.full_like(state.step, STEP - 1))
    update = make_train_step(task.loss, SGD, max_skipped=1, axis_name=devices.axis_name)
    batch = devices.share(make_batch())
    metrics = devices.whole(devices.compile(update)(late, batch, rng)[1])
    assert reports[0]["loss"] == pytest.approx(float(metrics.loss), rel=1e-6)
    assert reports[0]["gradient_norm"] == pytest.approx(float(metrics.gradient_norm), rel=1e-5)
    layers = reports[0]["layers"]
    whole = [norm for name, norm in layers.items() if "/" not in name]
    assert np.linalg.norm(whole) == pytest.approx(reports[0]["gradient_norm"], rel=1e-5)
    parts = [norm for name, norm in layers.items() if name.startswith("decoder_0/")]
    assert np.linalg.norm(parts) == pytest.approx(layers["decoder_0"], rel=1e-9)
    assert len(parts) > 2


def infinite(variables, batch, rng):
    """A loss that takes no time to compile."""
    return Loss(jnp.sum(variables["params"]["kernel"]) / 0, jnp.float32(1), {}, {})


def write(folder: Path, batch: Batch) -> dict[str, Any]:
    """What is written about a batch."""
    devices = choose_devices(devices=jax.devices()[:1])
    state = devices.place(init_state({"params": {"kernel": np.ones(3, np.float32)}}, SGD))
    gradient, rng = make_gradient(infinite), jax.random.key(0)
    shown = make_task().examples(batch)
    found = gradient_again(gradient, devices, state, STEP, batch, rng)
    path = write_report(folder, STEP, found, devices.whole(state.params), batch, shown)
    return json.loads(path.read_text("utf-8"), parse_constant=pytest.fail)


def test_examples_and_arrays_are_those_of_the_batch(tmp_path):
    report = write(tmp_path / "a", make_batch())
    assert report["loss"] == report["gradient_norm"] == "inf"
    assert report["examples"] == [
        {"row": row, "source": pair.source, "target": pair.target}
        for row, pair in enumerate(PAIRS[:FILLED])
    ]
    with np.load(tmp_path / "a" / "batch.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {*make_batch()._fields}
        np.testing.assert_array_equal(arrays["source"], make_batch().source)
        np.testing.assert_array_equal(arrays["target"], make_batch().target)


def test_every_pair_of_a_packed_row_is_written(tmp_path):
    rows = plan_rows(texts(), 64, seed=0)
    batch: Any = pack(texts(), rows, np.arange(rows.num_rows), 64)
    report = write(tmp_path / "a", batch)
    found = [(example["source"], example["target"]) for example in report["examples"]]
    assert sorted(found) == sorted(pair[:2] for pair in PAIRS)
    assert {example["row"] for example in report["examples"]} == set(range(rows.num_rows))
    assert rows.num_rows < len(PAIRS)


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "not_finite" / "step-37"
    (tmp_path / "not_finite" / "step-37.unfinished").mkdir(parents=True)
    folder.mkdir()
    (folder / "of an earlier run").write_text("")
    write(folder, make_batch())
    assert [path.name for path in folder.parent.iterdir()] == ["step-37"]
    assert sorted(path.name for path in folder.iterdir()) == ["batch.npz", "report.json"]


def test_a_folder_that_cannot_be_made_is_a_users_mistake(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*step-37 \(.+\): make room, or choose"):
        write(tmp_path / "file" / "step-37", make_batch())
