"""A model of every published family computes the same in every way, as `prove` examines it."""

import jax
import pytest
from published_cases import CASES, CLASSES, VOCAB
from small_folders import draw_variables, our_config

from flax_transformer.inspection.proof_findings import examine, make_plan
from flax_transformer.inspection.proof_inputs import ROWS, Subject, make_subject
from flax_transformer.training.ways_of_use import ways_of_use

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quickly_compiled")]
LENGTH = 11


def make_one(name: str) -> Subject:
    config = our_config(name)
    sizes = {"vocab_size": VOCAB} if config.reads == "tokens" else {}
    if config.gives in ("classes", "vectors"):
        sizes["num_classes"] = CLASSES
    heads = {"ForMaskedLM": "predict_tokens", "ForSequenceClassification": "classify"}
    architecture = CASES[name].architecture
    method = next((heads[end] for end in heads if architecture.endswith(end)), "__call__")
    variables = jax.tree.map(lambda array: 0.2 * array, draw_variables(name))
    ways = ways_of_use(ROWS, jax.local_devices()[:2])
    return make_subject(config.build(**sizes), variables, method)._replace(ways=ways)


@pytest.mark.parametrize("name", CASES)
def test_every_family_computes_the_same_in_every_way(name):
    subject = make_one(name)
    plan = make_plan(subject, LENGTH)
    assert len(plan.proofs) >= 3
    for proof in plan.proofs:
        for finding in examine(subject, proof, plan.lengths[0]):
            assert finding.verdict.is_equal, finding.describe()
