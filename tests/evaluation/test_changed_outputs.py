import pytest
import sacrebleu

from flax_transformer.evaluation.changed_outputs import (
    Decision,
    changed_decisions,
    changed_texts,
    read_decision,
)


def test_changed_texts_are_ordered_by_the_difference_of_their_chrf():
    references = [["one two"], ["three four", "3 4"], ["five six"], ["seven"]]
    first = ["one two", "three four", "five sex", "eight"]
    second = ["one two", "nothing", "five six", "eight"]
    found = changed_texts(first, second, references)
    assert [one.index for one in found] == [1, 2]
    chrf = sacrebleu.CHRF()
    assert found[0].first == chrf.sentence_score("three four", references[1]).score
    assert found[0].second == chrf.sentence_score("nothing", references[1]).score


def test_changed_decisions_are_ordered_by_the_probability_of_the_right_class():
    lines = ["a\t0.9\t0.1", "a\t0.6\t0.4", "b\t0.1\t0.9"]
    others = ["b\t0.1\t0.9", "b\t0.4\t0.6", "b\t0.4\t0.6"]
    first, second = ([read_decision(line, ["a", "b"]) for line in side] for side in (lines, others))
    found = changed_decisions(first, second, ["b", "a", "b"])
    assert [(one.index, round(one.first), round(one.second)) for one in found] == [
        (0, 10, 90),
        (1, 60, 40),
    ]


def test_of_many_classes_only_the_listed_ones_have_a_probability():
    names = [f"c{number}" for number in range(101)]
    decision = read_decision("c7\t0.5000\tc3\t0.2500\tc1\t0.1000", names)
    assert decision == Decision("c7", {"c7": 50.0, "c3": 25.0, "c1": 10.0})
    (changed,) = changed_decisions([decision], [decision._replace(given="c3")], ["c100"])
    assert (changed.first, changed.second) == (0.0, 0.0)
    with pytest.raises(ValueError, match="shorter than"):
        changed_decisions([decision], [], ["c100"])
