import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flax_transformer.data.tokens import tokenized
from flax_transformer.data.tokens.tokenized import TokenizedPairs, TokenizedText
from flax_transformer.data.tokens.tokenizer import EOS, PAD, Tokenizer

SENTENCES = st.lists(st.lists(st.integers(3, 101), max_size=7).map(lambda ids: [*ids, EOS]))


def sentences(text: TokenizedText) -> list[list[int]]:
    return [part.tolist() for part in np.split(text.tokens, text.offsets[1:])[:-1]]


@given(SENTENCES)
def test_sentences_lie_end_to_end(ids):
    text = TokenizedText.of(ids)
    assert sentences(text) == ids
    assert text.lengths.tolist() == [len(sentence) for sentence in ids]


@given(SENTENCES, st.integers(1, 5))
def test_cut_sentences_keep_their_start_and_end_mark(ids, max_length):
    cut = sentences(TokenizedText.of(ids).cut(max_length))
    assert cut == [
        sentence if len(sentence) <= max_length else [*sentence[: max_length - 1], EOS]
        for sentence in ids
    ]


@given(SENTENCES.filter(bool), st.data())
def test_selected_sentences_come_in_the_order_asked_for(ids, data):
    chosen = data.draw(st.lists(st.integers(0, len(ids) - 1)))
    text = TokenizedText.of(ids).select(np.array(chosen, np.int64))
    assert sentences(text) == [ids[index] for index in chosen]


@given(SENTENCES.filter(bool), st.data())
def test_padded_rows_hold_their_sentence_then_padding(ids, data):
    indices = data.draw(st.lists(st.integers(-1, len(ids) - 1), min_size=1))
    batch, segments = TokenizedText.of(ids).pad(np.array(indices), 11)
    expected = [[] if index < 0 else ids[index] for index in indices]
    assert batch.dtype == segments.dtype == np.int32
    assert segments.tolist() == [[1] * len(row) + [0] * (11 - len(row)) for row in expected]
    assert batch.tolist() == [row + [PAD] * (11 - len(row)) for row in expected]


@given(SENTENCES.filter(bool), st.integers(1, 5))
def test_padding_cuts_as_cut_does(ids, length):
    text, indices = TokenizedText.of(ids), np.arange(len(ids))
    for one, other in zip(
        text.pad(indices, length), text.cut(length).pad(indices, length), strict=True
    ):
        assert np.array_equal(one, other)


def test_encoding_in_chunks_gives_every_text_with_its_end_mark(monkeypatch):
    monkeypatch.setattr(tokenized, "CHUNK_SIZE", 3)
    tokenizer = Tokenizer.train(["two"], vocab_size=261)
    texts = ["two", "", "five", "seven", "eleven", "thirteen", "seventeen"]
    text = TokenizedText.encode(tokenizer, iter(texts))
    assert sentences(text) == [[*tokenizer.encode(word), EOS] for word in texts]


def test_pairs_without_targets_have_empty_ones():
    pairs = TokenizedPairs.without_targets(TokenizedText.of([[5, EOS], [EOS], [7, 11, EOS]]))
    assert pairs.num_pairs == 3
    assert pairs.target.lengths.tolist() == [0, 0, 0]
    assert pairs.target.cut(2).lengths.tolist() == [0, 0, 0]
