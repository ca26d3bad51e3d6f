"""A batched model: a bad text is the mistake of its own request only."""

import asyncio

import pytest

from flax_transformer.errors import UserError
from flax_transformer.serving.batched_texts import BatchedTexts
from flax_transformer.serving.limits import LimitsConfig, RequestError


class Shouting(BatchedTexts):
    """Answers in capitals; refuses "bad" when it answers, and "worse" when it counts tokens."""

    does, max_length = "shout", 16

    def answer(self, inputs, options):
        if "bad" in inputs:
            raise UserError("bad cannot be answered: give another text")
        return [text.upper() for text in inputs]

    def num_tokens(self, text):
        if text == "worse":
            raise UserError("worse cannot be encoded: give another text")
        return len(text)


def test_a_bad_text_hinders_no_other_request():
    model = Shouting("loud", None, LimitsConfig())

    async def ask_all():
        asked = [model.ask([text]) for text in ("a", "bad", "b", "worse", "c")]
        return await asyncio.gather(*asked, return_exceptions=True)

    a, bad, b, worse, c = asyncio.run(ask_all())
    model.close()
    assert (a, b, c) == (["A"], ["B"], ["C"])
    for error, reason in ((bad, "bad cannot be answered"), (worse, "worse cannot be encoded")):
        assert isinstance(error, RequestError)
        assert error.status == 422
        assert reason in error.reason


def test_a_text_that_is_too_long_is_refused_with_its_size():
    model = Shouting("loud", None, LimitsConfig())
    with pytest.raises(RequestError, match="a text has 17 tokens, but loud reads 16") as raised:
        asyncio.run(model.ask(["x" * 17]))
    model.close()
    assert raised.value.status == 413
