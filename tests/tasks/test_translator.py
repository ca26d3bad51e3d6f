import warnings

import numpy as np
import pytest
from small import SOURCES, TARGETS

from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.tasks import row_search
from flax_transformer.tasks.given_texts import CutTextWarning
from flax_transformer.tasks.translation import translator
from flax_transformer.tasks.translation.translator import Translator

pytestmark = pytest.mark.platforms

GREEDY = DecodingConfig("greedy", max_extra_length=16)
BEAM = DecodingConfig("beam", beam_size=3, num_best=3, max_extra_length=16)
# Nothing that the model has seen, of many lengths.
STRANGE = ["fifty fifty", "x", "two twenty two", "<pad>", "six four", "drei und", "\N{CAT FACE}"]


@pytest.fixture(scope="module")
def searched(task, memorized, tokenizer) -> Translator:
    """One translator for all that only read from it, so that each shape compiles once."""
    return Translator(task.model, memorized, tokenizer, GREEDY, max_length=23)


@pytest.mark.parametrize("decoding", [GREEDY, BEAM], ids=["greedy", "beam"])
def test_a_memorized_pair_is_translated_exactly(searched, decoding):
    assert searched.translate(SOURCES, decoding) == TARGETS


def test_a_string_gives_a_string(searched):
    assert searched.translate(SOURCES[3]) == TARGETS[3]
    assert searched.translate([SOURCES[3]]) == [TARGETS[3]]
    assert searched.translate([]) == []


def test_order_is_kept_and_a_blank_text_stays_empty(searched):
    places = [7, None, 2, 19, None, 0]
    texts = [" \t" if place is None else SOURCES[place] for place in places]
    expected = ["" if place is None else TARGETS[place] for place in places]
    assert searched.translate(texts) == expected
    assert searched.translate(["", " "]) == ["", ""]
    assert searched.translate("") == ""


def test_other_texts_in_the_batch_have_no_influence(searched):
    texts = [*STRANGE, *SOURCES]
    together = searched.translate_n_best(texts)
    for text, (expected,) in zip(STRANGE, together, strict=False):
        (alone,) = searched.translate_n_best([text])[0]
        assert alone.text == expected.text
        assert alone.score == pytest.approx(expected.score, rel=1e-5)
    assert searched.translate_n_best(texts[::-1])[::-1] == together


def test_many_batches_are_halved_and_translated_the_same(task, memorized, tokenizer, monkeypatch):
    """Here one batch counts as many."""
    several = Translator(task.model, memorized, tokenizer, BEAM, max_length=23)
    texts = [*SOURCES, *STRANGE]
    expected = several.translate_n_best(texts)
    num_halvings = []
    search = row_search.search

    def remember(*args, **settings):
        num_halvings.append(settings["num_halvings"])
        return search(*args, **settings)

    monkeypatch.setattr(row_search, "search", remember)
    monkeypatch.setattr(translator, "BATCHES_WORTH_HALVING", 1)
    found = several.translate_n_best(texts)
    assert set(num_halvings) == {2}
    for halved, whole in zip(found, expected, strict=True):
        assert [text for text, _ in halved] == [text for text, _ in whole]
        # Log-probabilities: the relative error is that of the probability.
        np.testing.assert_allclose([s for _, s in halved], [s for _, s in whole], atol=1e-5)


def test_the_best_translations_are_sorted_and_differ(searched):
    for found in searched.translate_n_best(SOURCES, BEAM):
        scores = [score for _, score in found]
        assert len({text for text, _ in found}) == len(found) == BEAM.num_best
        assert scores == sorted(scores, reverse=True)
        assert scores[0] <= 0


def test_a_long_text_is_cut_with_a_warning_that_names_its_line(searched, tokenizer):
    ids = tokenizer.encode("twenty two " * 20)
    kept = tokenizer.decode(ids[: searched.max_length - 1])
    with pytest.warns(
        CutTextWarning, match=rf"line 3 has {len(ids) + 1} tokens: only the first 23"
    ):
        found = searched.translate([SOURCES[0], "", tokenizer.decode(ids), SOURCES[1]])
    assert found == [TARGETS[0], "", searched.translate(kept), TARGETS[1]]


def test_a_text_of_the_maximum_is_not_warned_of(searched, tokenizer):
    fitting = tokenizer.decode(tokenizer.encode("twenty two " * 20)[: searched.max_length - 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        searched.translate(fitting)


def test_the_same_shape_is_compiled_once(searched, monkeypatch):
    """The search is traced whenever it is compiled. No other test has this limit."""
    decoding = DecodingConfig("greedy", max_extra_length=13)
    num_traced = 0
    search = row_search.search

    def count(*args, **settings):
        nonlocal num_traced
        num_traced += 1
        return search(*args, **settings)

    def num_compiled(texts) -> int:
        before = num_traced
        searched.translate(texts, decoding)
        return num_traced - before

    monkeypatch.setattr(row_search, "search", count)
    assert [num_compiled(SOURCES[i : i + 1]) for i in (0, 1, 0)] == [1, 0, 0]
    assert num_compiled(SOURCES[:2]) == 1


def test_samples_repeat_by_seed(searched):
    hot = DecodingConfig("sample", num_best=5, temperature=5.0, max_extra_length=7)
    first, again, other = (
        searched.translate_n_best(SOURCES[:2], hot, seed=seed) for seed in (1, 1, 2)
    )
    assert first == again != other
    scores = np.array([[score for _, score in found] for found in first])
    assert scores.shape == (2, 5)
