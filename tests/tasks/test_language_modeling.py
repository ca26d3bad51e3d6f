import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from text_models import CONFIG, MODEL, write_experiment_file

from flax_transformer.data.windows import TextBatch
from flax_transformer.errors import UserError
from flax_transformer.models import DecoderOnly
from flax_transformer.tasks.language_modeling import LanguageModeling, LanguageModelingConfig
from flax_transformer.training.step import init_state, make_train_step

VOCAB_SIZE = 13
TOKENS = np.array([[5, 7, 11, 3, 2, 12], [4, 9, 6, 0, 0, 0]], np.int32)


def make_objective(label_smoothing: float = 0.0, **fields) -> LanguageModeling:
    model = DecoderOnly(dataclasses.replace(MODEL, **fields), VOCAB_SIZE)
    return LanguageModeling(LanguageModelingConfig(label_smoothing), model)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_the_loss_is_the_cross_entropy_of_the_next_tokens(smoothing):
    objective = make_objective(smoothing)
    params = objective.init(jax.random.key(0))["params"]
    loss, weight, _ = objective.loss(params, {}, TextBatch(TOKENS), jax.random.key(1))
    logits = np.asarray(objective.model.apply({"params": params}, jnp.asarray(TOKENS[:, :-1])), np.float64)
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = 0.0
    for row, target in enumerate(TOKENS[:, 1:]):
        for place, token in enumerate(target):
            if token:
                own = log_probs[row, place]
                expected -= (1 - smoothing) * own[token] + smoothing * own.mean()
    assert weight == 7
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_counts_are_those_of_the_loss_and_of_the_best_tokens():
    objective = make_objective(0.3)
    variables = objective.init(jax.random.key(0))
    counts = objective.count(variables, TextBatch(TOKENS))
    plain, weight, _ = make_objective().loss(
        variables["params"], {}, TextBatch(TOKENS), jax.random.key(1)
    )
    assert float(counts.nll) == pytest.approx(float(plain), rel=1e-6)
    assert counts.tokens == weight
    best = jnp.argmax(objective.model.apply(variables, jnp.asarray(TOKENS[:, :-1])), axis=-1)
    assert counts.correct == np.sum((best == TOKENS[:, 1:]) & (TOKENS[:, 1:] > 0))


def test_dropout_is_that_of_the_training_alone():
    objective = make_objective(residual_dropout_rate=0.5)
    variables = objective.init(jax.random.key(0))
    losses = [
        float(objective.loss(variables["params"], {}, TextBatch(TOKENS), jax.random.key(seed))[0])
        for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1] != losses[2]
    assert objective.count(variables, TextBatch(TOKENS)).nll != losses[0]


def test_a_batch_is_learnt_by_heart():
    objective, optimizer = make_objective(), optax.adam(0.02)
    state = init_state(objective.init(jax.random.key(0)), optimizer)
    update = jax.jit(make_train_step(objective.loss, optimizer, max_skipped=1))
    for _ in range(80):
        state, metrics = update(state, TextBatch(TOKENS), jax.random.key(1))
    assert metrics.loss < 0.05


def test_an_impossible_smoothing_is_refused():
    with pytest.raises(UserError, match=r"task\.label_smoothing must be in \[0, 1\), not 1\.0"):
        LanguageModelingConfig(1.0)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    from flax_transformer import cli

    folder = tmp_path_factory.mktemp("language_model")
    path = write_experiment_file(folder)
    cli.main(["train", str(path), "--workdir", str(folder / "run")])
    return folder / "run"


def test_a_training_leaves_scores_of_the_validation_split(trained):
    (file,) = (trained / "scores").glob("*.json")
    record = json.loads(file.read_text())
    scores = {name: score["value"] for name, score in record["scores"].items()}
    assert record["split"] == "validation"
    assert scores["perplexity"] == pytest.approx(math.exp(scores["loss"]))
    # Characters of one byte each, and the end mark, which is a token of no byte.
    text = CONFIG["validation"]
    bits = scores["loss"] / math.log(2) * (len(text) + 1) / len(text)
    assert scores["bits_per_byte"] == pytest.approx(bits)
    assert scores["loss"] < 1.5
    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert any("tokens_per_second" in line for line in lines)
    best = min(line["loss"] for line in lines if line["kind"] == "validation")
    assert best == pytest.approx(scores["loss"], rel=0.2)


def test_the_command_writes_what_was_learnt(trained, capsys):
    from flax_transformer import cli

    options = ["--length", "23", "--decoding.method", "greedy"]
    cli.main(["generate", "--workdir", str(trained), *options, "abcab", "cab"])
    first, between, second = capsys.readouterr().out.splitlines()
    assert (first, between, second) == (("abc" * 10)[:28], "---", ("cab" * 10)[:26])


def test_samples_differ_by_seed_alone(trained, capsys):
    from flax_transformer import cli

    def generate(seed: int) -> str:
        options = ["--seed", str(seed), "--length", "19", "--num-samples", "2"]
        sampling = ["--decoding.method", "sample", "--decoding.temperature", "3"]
        cli.main(["generate", "--workdir", str(trained), *options, *sampling, "a"])
        return capsys.readouterr().out

    assert generate(3) == generate(3) != generate(4)
    one, two = generate(3).split("\n---\n")
    assert one.strip() != two.strip()
