"""Every kind of model computes the same in every way, with weights far from their first ones."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from published_cases import CLASSES, VOCAB
from published_experiments import disturb

from flax_transformer.experiment import load_experiment
from flax_transformer.inspection.proof_findings import examine, make_plan
from flax_transformer.inspection.proof_inputs import ROWS, Inputs, Subject, make_subject
from flax_transformer.inspection.proofs import PROOFS
from flax_transformer.inspection.sequence_runs import in_rows
from flax_transformer.tasks.tasks import find_task
from flax_transformer.training.ways_of_use import ways_of_use

pytestmark = pytest.mark.usefixtures("quickly_compiled")
LENGTH = 6
FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENTS = sorted(
    path.stem for path in FOLDER.glob("*.py") if "\nexperiment = " in path.read_text("utf-8")
)
SIZES: dict[str, Any] = {
    "d_model": 12,
    "d_ff": 7,
    "num_heads": 2,
    "key_dim": None,
    "value_dim": None,
    "num_layers": 1,
    "num_time_layers": 1,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "max_positions": LENGTH,
    "image_size": (4, 4),
    "patch_size": (2, 2),
    "num_frames": 4,
    "tubelet_frames": 2,
}
ONE_WAY = {"cached decoding", "padded prompts", "moved hypotheses", "later tokens"}
NOT_APPLICABLE = {
    "target_tokens": set(),
    "next_tokens": set(),
    "vectors": ONE_WAY,
    "classes": ONE_WAY | {"packed rows", "padding", "content of padding"},
}
# These run every time. The planted faults have models of the other kinds.
QUICK = ("number_words", "digits")


def of_experiment(name: str) -> tuple[Any, str | Any]:
    """The model of an experiment, made small, and the method of its task."""
    experiment = load_experiment(FOLDER / f"{name}.py")
    config: Any = experiment.model
    fields = {field.name for field in dataclasses.fields(config)}
    config = dataclasses.replace(config, **{k: v for k, v in SIZES.items() if k in fields})
    sizes = {"vocab_size": VOCAB} if config.reads == "tokens" else {}
    if config.gives in ("classes", "vectors"):
        sizes["num_classes"] = CLASSES
    return config.build(**sizes), getattr(find_task(experiment)[1], "method", "__call__")


def subject_of(model: Any, method: Any) -> Subject:
    """A model with every weight 0.2 away from where it begins."""
    inputs = in_rows(Inputs(make_subject(model, {}, method), LENGTH)).rows
    init = jax.jit(model.init, static_argnames="method")
    variables = disturb(init(jax.random.key(0), *map(jnp.asarray, inputs.values()), method=method))
    ways = ways_of_use(ROWS, jax.local_devices()[:2])
    return make_subject(model, variables, method)._replace(ways=ways)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in EXPERIMENTS],
)
def test_every_experiments_model_computes_the_same_in_every_way(name):
    model, method = of_experiment(name)
    subject = subject_of(model, method)
    plan = make_plan(subject, LENGTH)
    assert set(plan.not_applicable) == NOT_APPLICABLE[model.config.gives]
    found = [
        finding for proof in plan.proofs for finding in examine(subject, proof, plan.lengths[0])
    ]
    assert {finding.proof for finding in found} == {proof.name for proof in PROOFS} - set(
        plan.not_applicable
    )
    for finding in found:
        assert finding.verdict.is_equal, finding.describe()
