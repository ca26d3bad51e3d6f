"""What a proof compares: the order of activations, the places of tokens, and the bound of equal."""

import math
from collections import OrderedDict

import jax
import numpy as np
import pytest
from small_models import decoder, encoder, translator, video

from flax_transformer.errors import UserError
from flax_transformer.inspection.activations import activation_shapes
from flax_transformer.inspection.first_difference import (
    EQUAL,
    Comparison,
    Verdict,
    compare,
    with_other_last_bits,
)
from flax_transformer.inspection.proof_findings import Finding, make_plan, worst
from flax_transformer.inspection.proof_inputs import ROWS, Inputs, make_subject
from flax_transformer.inspection.proof_places import Place, lay_packed, lay_padded
from flax_transformer.inspection.proof_runs import apply
from flax_transformer.inspection.proofs import PROOFS, devices
from flax_transformer.inspection.sequence_runs import in_rows, run_laid

pytestmark = pytest.mark.usefixtures("quickly_compiled")
SIDES = {"tokens": [np.full(n, 10 * n, np.int32) for n in (5, 4, 3, 2)]}


def test_activations_are_in_the_order_in_which_they_are_computed():
    small = translator(num_encoder_layers=1, num_decoder_layers=1, norm_placement="pre")
    variables = small.draw()
    _, arrays = apply(small.model, variables, *small.arrays(), look="activations")
    names = list(arrays)
    for earlier, later in (
        ("source_embedded", "encoder.0.attention_residual.sublayer_input"),
        ("encoder.0.attention_residual.sublayer_input", "encoder.0.attention.keys"),
        ("encoder.0.attention.scores", "encoder.0.attention.weights"),
        ("encoder.0.attention.heads", "encoder.0.attention_residual.sublayer_output"),
        ("encoder.0.feed_forward_residual.residual", "target_embedded"),
        ("target_embedded", "decoder.0.self_attention.keys"),
        ("decoder.0.self_attention_residual.residual", "decoder.0.cross_attention.queries"),
        ("decoder.0.feed_forward_residual.residual", "logits"),
    ):
        assert names.index(earlier) < names.index(later)
    assert set(arrays) == set(activation_shapes(small.model, variables, small.arrays()))


def test_sequences_are_where_their_places_say():
    for laid in (
        lay_packed(SIDES, 2),
        lay_padded(SIDES, 2),
        lay_padded(SIDES, 2, to_the_left=True),
    ):
        seen = np.zeros_like(laid.segments["tokens"])
        for place, sequence in zip(laid.places, SIDES["tokens"], strict=True):
            row, span = place["tokens"].row, place["tokens"].span()
            np.testing.assert_array_equal(laid.rows["tokens"][row, span], sequence)
            assert len(set(laid.segments["tokens"][row, span])) == 1
            seen[row, span] += 1
        np.testing.assert_array_equal(seen, laid.segments["tokens"] != 0)
        assert (seen == 0).sum() >= 2 * len(seen)
    assert lay_packed(SIDES, 2).places[2]["tokens"] == Place(0, 5, 3)


def compared(expected: float, actual: float, rounding: float = 0.0) -> Verdict:
    """Compares two numbers, the first of which depends on the weights as it is said."""

    def run(value, look):
        return [OrderedDict(output=np.array([1.0, value]))]

    first = lambda changed, look: run(expected + (rounding if changed != 1 else 0.0), look)  # noqa: E731
    return compare(Comparison("", first, lambda _, look: run(actual, look)), np.float32(1.0))


def test_equal_is_what_contributing_says():
    assert EQUAL == 1e-5
    assert compared(0.5, 0.5 + 0.9e-5).is_equal
    assert not compared(0.5, 0.5 + 1.1e-5).is_equal
    assert not compared(0.5, math.nan).is_equal


def test_what_rounding_changes_is_measured_and_bounded():
    verdict = compared(0.5, 0.5 + 3e-5, rounding=2e-5)
    assert verdict.is_equal
    assert verdict.rounding == pytest.approx(2e-5, rel=1e-3)
    assert "the last bit of the weights changes 2.0e-05" in Finding("", 1, "", verdict).describe()
    assert not compared(0.5, 0.5 + 3e-5, rounding=1e-6).is_equal
    assert not compared(0.5, 0.6, rounding=0.1).is_equal


def test_weights_change_by_their_last_bit():
    weights = {"a": np.linspace(-3, 3, 101, dtype=np.float32), "number": np.int32(3)}
    changed = with_other_last_bits(weights)
    relative = np.abs(changed["a"] - weights["a"]) / np.maximum(np.abs(weights["a"]), 1e-9)
    assert changed["a"].dtype == np.float32
    assert 0 < relative.max() < 2e-7
    assert changed["number"] == 3


def test_a_wrong_way_of_using_devices_is_found():
    """Devices that give their rows in another order."""
    small = encoder("classify", num_layers=1)
    subject = make_subject(small.model, small.draw(), small.method)
    turned = lambda f: lambda v, rows: jax.tree.map(lambda x: x[::-1], f(v, rows))  # noqa: E731
    subject = subject._replace(ways={"turned": turned, "right": lambda f: f})
    inputs = Inputs(subject, 6)
    found = {c.name: compare(c, subject.variables) for c in devices(subject, inputs)}
    assert found["without jit"].is_equal
    assert found["right"].is_equal
    assert found["turned"].first is not None
    assert found["turned"].first.activation == "token_embedding"


def test_weights_that_are_not_numbers_are_equal_to_nothing():
    small = video(num_layers=1)
    variables = jax.tree.map(lambda x: x * np.nan, small.draw())
    subject = make_subject(small.model, variables)
    run = run_laid(subject, in_rows(Inputs(subject, 1)))
    verdict = compare(Comparison("", run, run), variables)
    assert not verdict.is_equal
    assert Finding("kernels", None, "auto", verdict).to_json()["difference"] is None


def test_the_plan_ends_where_positions_end():
    small = decoder()
    subject = make_subject(small.model, {})
    assert subject.limit == 6
    plan = make_plan(subject._replace(variables=small.draw()), 3)
    assert plan.lengths == [3, 6]
    assert plan.left_out == [12]
    assert plan.reason == "learned positions end at 6"
    assert plan.items() == [(proof.name, length) for proof in PROOFS for length in (3, 6)]
    with pytest.raises(UserError, match="--length 7 is too long, as learned positions end at 6"):
        make_plan(subject._replace(variables=small.draw()), 7)


def test_the_worst_finding_is_one_that_differs():
    findings = [
        Finding("", 1, "a", Verdict(2e-5, 3e-5, 1e-5)),
        Finding("", 1, "b", Verdict(1.5e-5)),
        Finding("", 1, "c", Verdict(1e-7)),
    ]
    assert worst(findings).way == "b"
    assert worst([*findings, Finding("", 1, "d", Verdict(math.nan))]).way == "d"


def test_inputs_depend_on_the_seed_only():
    small = translator()
    subject = make_subject(small.model, {})
    one, same, other = (Inputs(subject, 8, seed).sequences(6, 3) for seed in (1, 1, 2))
    for side in one:
        np.testing.assert_array_equal(np.concatenate(one[side]), np.concatenate(same[side]))
        assert (np.concatenate(one[side]) != np.concatenate(other[side])).any()
    assert [len(x) for x in one["source"]] == [3, 3, 6, 6]
    assert [len(x) for x in one["target"]] == [6, 6, 3, 3]
    assert len(Inputs(make_subject(video().model, {}), 1).pixels()["videos"]) == ROWS
    tokens = Inputs(subject, 8).tokens(50)
    assert (Inputs(subject, 8).others(tokens) != tokens).all()
