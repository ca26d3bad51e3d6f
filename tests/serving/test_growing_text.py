from hypothesis import given
from hypothesis import strategies as st

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.decoding.search import cut_at_stop
from flax_transformer.serving.growing_text import GrowingText

BYTES = st.text(alphabet="ab. ä€🙂\n", max_size=12).map(lambda text: list(text.encode()))
STOPS = st.lists(st.text(alphabet="ab. €", min_size=1, max_size=3), max_size=3)


def decode(tokens: list[int]) -> str:
    return bytes(tokens).decode("utf-8", "replace")


@given(BYTES, STOPS)
def test_the_parts_are_the_text_up_to_its_stop(tokens, stop):
    text = GrowingText(decode, stop)
    parts = [text.add(token) for token in tokens]
    whole = cut_at_stop(decode(tokens), stop)
    assert "".join(parts) + text.end() == whole
    assert text.has_stopped == (whole != decode(tokens))
    # Nothing that was shown is half a letter.
    assert "\ufffd" not in "".join(parts)


def test_a_beginning_of_a_stop_string_waits():
    text = GrowingText(decode, ["END"])
    assert [text.add(token) for token in b"aEbEND c"] == ["a", "", "Eb", "", "", "", "", ""]
    assert text.has_stopped
    assert text.end() == ""


def test_words_that_a_tokenizer_joins_differently_are_whole_at_the_end():
    tokenizer = Tokenizer.train(["two twenty-two € three"], vocab_size=270)
    line = "two € twenty-two three 🙂"
    text = GrowingText(tokenizer.decode)
    parts = [text.add(token) for token in tokenizer.encode(line)]
    assert "".join(parts) + text.end() == line
