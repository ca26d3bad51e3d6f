"""Values of generation_config.json that are no numbers are named with their key."""

import pytest

from flax_transformer.errors import UserError
from flax_transformer.interchange.generation_settings import read_decoding


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_beams": "four"}, "num_beams is 'four', not a whole number"),
        ({"num_beams": 4.0}, "num_beams is 4.0, not a whole number"),
        ({"do_sample": True, "top_k": True}, "top_k is True, not a whole number"),
        ({"max_new_tokens": [9]}, r"max_new_tokens is \[9\], not a whole number"),
        ({"do_sample": True, "temperature": "hot"}, "temperature is 'hot', not a number"),
        ({"num_beams": 2, "length_penalty": {}}, "length_penalty is {}, not a number"),
    ],
)
def test_a_value_that_is_no_number_is_named(settings, message):
    with pytest.raises(UserError, match=message):
        read_decoding(settings)


def test_a_number_may_be_whole_or_missing():
    found = read_decoding({"do_sample": True, "temperature": 1, "top_k": None, "num_beams": None})
    assert (found.method, found.temperature, found.top_k) == ("sample", 1.0, None)
