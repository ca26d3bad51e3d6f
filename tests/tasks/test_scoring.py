import math

import numpy as np
import pytest
from small import PAIRS

from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.data.datasets.split import Pair
from flax_transformer.tasks.translation.translation_task import samples

WRONG = [Pair("twenty two", "drei und vierzig"), Pair("thirty six", "zwei und zwanzig")]


@pytest.fixture
def evaluate(task, memorized, tmp_path):
    """Scores pairs as a user's own files, by greedy search."""

    def score(pairs):
        paths = tmp_path / "source", tmp_path / "target"
        for side, path in enumerate(paths):
            path.write_text("".join(f"{pair[side]}\n" for pair in pairs), encoding="utf-8")
        task.read.cache_clear()
        return task.evaluate(memorized, OwnFiles(paths[0], (paths[1],)), is_quick=True)

    return score


def test_what_is_memorized_is_scored_as_perfect(evaluate):
    scored = evaluate(PAIRS)
    assert scored.outputs == [pair.target for pair in PAIRS]
    values = {name: score.value for name, score in scored.scores.items()}
    assert values["exact_match"] == values["chrf"] == values["token_accuracy"] == 100
    assert 1 < values["perplexity"] < 1.06


def test_scores_are_means_over_all_tokens(evaluate, tokenizer):
    parts = PAIRS, WRONG
    num_tokens = [sum(len(tokenizer.encode(pair.target)) + 1 for pair in part) for part in parts]
    apart = [evaluate(part).scores for part in parts]
    together = evaluate([*PAIRS, *WRONG]).scores
    for name, measure in {"token_accuracy": float, "perplexity": math.log}.items():
        values = [measure(scores[name].value) for scores in apart]
        expected = np.average(values, weights=num_tokens)
        assert measure(together[name].value) == pytest.approx(expected, rel=1e-4)


def test_a_long_reference_is_scored_whole(evaluate, task, tokenizer):
    pairs = [Pair("twenty two", " ".join(["zwei und zwanzig"] * 20))]
    assert len(tokenizer.encode(pairs[0].target)) > task.experiment.data.max_length
    scores = evaluate(pairs).scores
    assert scores["exact_match"].value == 0
    assert scores["perplexity"].value > 2


def test_samples_show_the_reference_of_what_is_wrong():
    pairs = [Pair("one", "eins"), Pair("two", "zwei"), Pair("x", "y"), Pair("z", "z")]
    shown = samples(pairs, ["eins", "2", "", "z"])
    assert shown == ["  one -> eins", "  two -> 2 (zwei)", "  x ->  (y)"]
