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
def test_the_parts_are_the_text_up_to_the_stop_that_is_complete_first(tokens, stop):
    text = GrowingText(decode, stop)
    parts = [text.add(token) for token in tokens]
    beginnings = [decode(tokens[:length]) for length in range(len(tokens) + 1)]
    stopped = (one for one in beginnings if cut_at_stop(one, stop) != one)
    ended = next(stopped, beginnings[-1])
    assert "".join(parts) + text.end() == cut_at_stop(ended, stop)
    assert text.has_stopped == (cut_at_stop(ended, stop) != ended)
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
