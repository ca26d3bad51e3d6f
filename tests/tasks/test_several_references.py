"""Scores of translations with several references each, as sacreBLEU computes them."""

import jax
import pytest
import sacrebleu
from small import PAIRS, make_experiment, with_fields

from flax_transformer.evaluation.scores import bleu, chrf, exact_match
from flax_transformer.tasks.translation.translation_task import TranslationTask
from flax_transformer.tasks.translation.translator import Translator

OUTPUTS = ["the cat sat on the mat", "a dog barks at night", "there was nothing left to say"]
FIRST = ["the cat is on the mat", "a dog barks at night", "nothing was left to be said"]
SECOND = ["there is a cat on the mat", "at night dogs bark", "there was nothing left to say"]
TOGETHER = list(zip(FIRST, SECOND, strict=True))


@pytest.mark.parametrize(("score", "metric"), [(bleu, sacrebleu.BLEU()), (chrf, sacrebleu.CHRF())])
def test_several_references_are_scored_as_sacrebleu_does(score, metric):
    found = score(OUTPUTS, TOGETHER)
    assert found.value == pytest.approx(metric.corpus_score(OUTPUTS, [FIRST, SECOND]).score)
    assert found.signature == str(metric.get_signature())
    assert "nrefs:2" in found.signature
    assert found.value > max(score(OUTPUTS, side).value for side in (FIRST, SECOND))
    assert score(OUTPUTS, [[text] for text in FIRST]) == score(OUTPUTS, FIRST)


def test_any_reference_may_be_matched():
    assert exact_match(OUTPUTS, FIRST).value == pytest.approx(100 / 3)
    assert exact_match(OUTPUTS, TOGETHER).value == pytest.approx(200 / 3)


def test_every_output_has_as_many_references():
    for score in (bleu, chrf, exact_match):
        with pytest.raises(ValueError, match="shorter"):
            score(OUTPUTS, [["a", "b"], ["c"], ["d", "e"]])
        with pytest.raises(ValueError, match="3 hypotheses for 2 references"):
            score(OUTPUTS, TOGETHER[:2])


def test_a_task_scores_with_all_references_and_its_loss_with_the_first(tmp_path, monkeypatch):
    outputs = [f"{pair.target} again" for pair in PAIRS]
    monkeypatch.setattr(Translator, "translate", lambda *_: outputs)
    path = tmp_path / "further"
    path.write_text("".join(f"{output}\n" for output in outputs))
    experiment = make_experiment(tmp_path)
    more = with_fields(experiment, "data", validation_references=(str(path),))
    plain, several = (
        TranslationTask.open(given, tmp_path, training=True) for given in (experiment, more)
    )
    variables = plain.init(jax.random.key(0))
    before, found = (task.evaluate(variables, "validation").scores for task in (plain, several))
    assert [scores["exact_match"].value for scores in (before, found)] == [0, 100]
    assert "nrefs:1" in str(before["bleu"].signature)
    assert "nrefs:2" in str(found["bleu"].signature)
    assert found["bleu"].value == pytest.approx(100)
    for name in ("token_accuracy", "perplexity"):
        assert found[name] == before[name]
