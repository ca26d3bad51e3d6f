import jax
import numpy as np
import pytest

from flax_transformer.training.parallel import choose_devices

pytestmark = pytest.mark.platforms


@pytest.mark.parametrize("num_devices", [1, 2, 8])
def test_shares_of_a_batch_are_its_rows_in_order(num_devices):
    devices = choose_devices(devices=jax.devices()[:num_devices])
    batch = {"a": np.arange(48).reshape(16, 3), "b": np.arange(16)}
    shares = devices.share(batch)
    if devices.axis_name:
        assert shares["a"].shape == (num_devices, 16 // num_devices, 3)
        shares = jax.tree.map(np.concatenate, shares)
    jax.tree.map(np.testing.assert_array_equal, shares, batch)


@pytest.mark.parametrize("num_devices", [1, 2, 8])
def test_the_first_copy_of_a_state_is_the_state(num_devices):
    devices = choose_devices(devices=jax.devices()[:num_devices])
    state = {"scalar": np.int32(3), "matrix": np.arange(6.0, dtype=np.float32).reshape(2, 3)}
    copies = devices.place(state)
    assert copies["matrix"].shape == ((num_devices, 2, 3) if num_devices > 1 else (2, 3))
    jax.tree.map(np.testing.assert_array_equal, devices.whole(copies), state)


@pytest.mark.parametrize("num_devices", [1, 2, 8])
def test_the_first_copy_is_read_without_a_program(num_devices, caplog):
    devices = choose_devices(devices=jax.devices()[:num_devices])
    step = devices.compile(lambda state, batch, rng: jax.tree.map(lambda x: x + 1, state))
    state = {"scalar": np.int32(3), "matrix": np.arange(6.0, dtype=np.float32).reshape(2, 3)}
    after = step(devices.place(state), devices.share(np.zeros(8)), jax.random.key(0))
    # A program that is compiled already would run without a message.
    jax.clear_caches()
    with jax.log_compiles():
        first = devices.whole(after)
        assert "Compiling" not in caplog.text
        _ = after["matrix"][0]
        assert "Compiling" in caplog.text
    for name, expected in state.items():
        assert (first[name].shape, first[name].dtype) == (expected.shape, expected.dtype)
        np.testing.assert_array_equal(first[name], expected + 1)


def test_all_devices_are_used_unless_told():
    assert choose_devices().devices == jax.devices()
    assert choose_devices().axis_name == "devices"
    assert choose_devices(mixes_rows=True).axis_name is None
    assert choose_devices(devices=jax.devices()[:1]).axis_name is None


@pytest.mark.parametrize("num_devices", [1, 2])
@pytest.mark.parametrize("keep_state", [False, True])
def test_a_state_is_given_up_unless_it_is_to_be_kept(num_devices, keep_state):
    devices = choose_devices(devices=jax.devices()[:num_devices])
    step = devices.compile(lambda state, batch, rng: state + batch[0], keep_state=keep_state)
    state = devices.place(np.ones(7, np.float32))
    batch = devices.share(np.full(num_devices * 7, 3, np.float32))
    assert (np.asarray(step(state, batch, jax.random.key(0))) == 4).all()
    assert state.is_deleted() != keep_state
