import jax.numpy as jnp
import pytest
from brute_force import limits_of


def test_limits_are_between_one_and_max_length():
    assert limits_of(7).of_examples(2).tolist() == [7, 7]
    assert limits_of(7, jnp.array([-1, 1, 7, 8])).of_examples(4).tolist() == [1, 1, 7, 7]


def test_limits_of_another_batch_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2,\), got \(3,\)"):
        limits_of(7, jnp.array([5, 5, 5])).of_examples(2)


def test_no_room_for_a_token_is_refused():
    with pytest.raises(ValueError, match="max_length must be at least 1, got 0"):
        limits_of(0)
