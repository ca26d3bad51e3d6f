"""What a program may give a translator by mistake."""

import pytest
from small import PAIRS

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.tasks.translation.translator import Translator


@pytest.mark.usefixtures("unchecked_types")
@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (None, "the texts are None: give a string or a list of strings"),
        (b"two", "the texts are b'two': give a string or a list"),
        ([None], "text 1 is not a string but None: give a list of strings"),
        (["two", 7], "text 2 is not a string but 7"),
        (["two", "", b"two"], "text 3 is not a string but b'two'"),
        ([["two"]], r"text 1 is not a string but \['two'\]"),
        (["two", "\ud800"], r"not a valid Unicode text: '\\ud800'"),
    ],
)
def test_what_is_no_text_is_told(translator, texts, message):
    for translate in (translator.translate, translator.translate_n_best):
        with pytest.raises(UserError, match=message) as error:
            translate(texts)
        assert "\n" not in str(error.value)


@pytest.mark.usefixtures("unchecked_types")
def test_texts_may_come_one_by_one(translator):
    found = translator.translate(pair.source for pair in PAIRS[:3])
    assert found == [pair.target for pair in PAIRS[:3]]


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_that_is_none_is_told(translator, seed):
    with pytest.raises(UserError, match=rf"--seed must be at .* not {seed}"):
        translator.translate_n_best(["two"], seed=seed)


def test_the_tokenizer_of_another_model_is_told(task, memorized, translator):
    other = Tokenizer.train(["seven"], 263)
    with pytest.raises(UserError, match=rf"{other.vocab_size} ids but the model 307: restore"):
        Translator(task.model, memorized, other, translator.decoding, max_length=23)
