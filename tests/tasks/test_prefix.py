"""Translations with a given beginning."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from small import MODEL, PAIRS, SOURCES, TARGETS

from flax_transformer.data.tokens.tokenizer import BOS, EOS
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.models import EncoderDecoder
from flax_transformer.tasks.translation.translator import Translator

GREEDY = DecodingConfig("greedy", max_extra_length=16)
BEAM = DecodingConfig("beam", beam_size=3, num_best=3, max_extra_length=16)
SAMPLE = DecodingConfig("sample", num_best=3, temperature=0.5, max_extra_length=16)


@pytest.fixture(scope="module")
def prefixed(task, memorized, tokenizer) -> Translator:
    """Of the module, so that each shape compiles once."""
    return Translator(task.model, memorized, tokenizer, GREEDY, max_length=23)


@pytest.mark.parametrize("decoding", [GREEDY, BEAM, SAMPLE], ids=lambda config: config.method)
def test_every_hypothesis_begins_with_the_prefix(prefixed, decoding):
    for prefix in ("sechs", "zwei und", "x"):
        found = prefixed.translate_n_best([*SOURCES[:3], " "], decoding, prefix=prefix)
        texts = [text for hypotheses in found[:3] for text, _ in hypotheses]
        assert len(texts) == 3 * decoding.num_best
        assert all(text.startswith(prefix) for text in texts)
        assert [text for text, _ in found[3]] == [""]


def test_a_prefix_of_the_translation_itself_changes_nothing(prefixed, tokenizer):
    for source, target, _ in PAIRS[::5]:
        prefix = target.split()[0]
        assert prefixed.translate(source, BEAM, prefix=prefix) == target
        assert prefixed.translate(source, prefix=target) == target
    assert prefixed.translate(SOURCES, prefix="") == TARGETS


def test_the_search_goes_on_after_the_prefix(prefixed, tokenizer):
    """Finds the most probable tokens after the prefix; reads everything again for each."""
    prefix = "fünf und"
    ids = tokenizer.encode(prefix)
    source = jnp.array([[*tokenizer.encode(SOURCES[1]), EOS]], jnp.int32)
    read, log_prob = [BOS, *ids], 0.0
    while read[-1] != EOS:
        logits = prefixed.model.apply(prefixed.variables, source, jnp.array([read], jnp.int32))
        scores = np.asarray(logits)[0, -1].astype(np.float64)
        scores -= np.log(np.exp(scores).sum())
        read.append(int(scores.argmax()))
        log_prob += scores[read[-1]]
    [[found]] = prefixed.translate_n_best(SOURCES[1], prefix=prefix)
    assert found.text == tokenizer.decode(read[1:])
    # The score counts only the tokens after the prefix.
    assert found.score == pytest.approx(log_prob, rel=1e-4)


def test_the_limit_counts_the_prefix(prefixed, tokenizer):
    decoding = dataclasses.replace(GREEDY, max_extra_length=2, min_length=99)
    num_tokens = len(tokenizer.encode(SOURCES[0])) + 1 + 2
    for prefix in ("", "zwei", "zwei und"):
        text = prefixed.translate(SOURCES[0], decoding, prefix=prefix)
        assert text == prefix + tokenizer.decode(tokenizer.encode(text[len(prefix) :]))
        assert len(tokenizer.encode(prefix)) + len(tokenizer.encode(text[len(prefix) :])) <= (
            num_tokens
        )


def test_a_prefix_that_the_model_cannot_hold_is_refused(prefixed, tokenizer):
    config = dataclasses.replace(MODEL, positions="learned", max_positions=24)
    model = EncoderDecoder(config, tokenizer.vocab_size)
    learned = Translator(model, prefixed.variables, tokenizer, GREEDY, max_length=23)
    with pytest.raises(UserError, match=r"the prefix has \d+ tokens, but .* at most 24: shorten"):
        learned.translate("two", prefix="zwei und zwanzig " * 9)


def test_stop_strings_end_what_follows_the_prefix(prefixed):
    """Across tokens, at the first one that occurs."""
    source, target, _ = PAIRS[6]  # drei und dreißig
    assert target == "drei und dreißig"
    stopped = dataclasses.replace(BEAM, stop=("ißi", "nd dr", "zz"))
    assert prefixed.translate(source, stopped) == "drei u"
    assert prefixed.translate(source, stopped, prefix="drei und") == "drei und dre"
    [n_best] = prefixed.translate_n_best(source, dataclasses.replace(BEAM, stop=("r",)))
    assert all("r" not in text for text, _ in n_best)
