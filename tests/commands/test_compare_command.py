import dataclasses
import json
import shutil

import jax
import pytest
from command_line import assert_is_error
from small import PAIRS, TARGETS, make_experiment, with_fields
from untrained import CLASS_NAMES, EXPERIMENTS, write_workdir

from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.evaluation.significance import compare_decisions, compare_texts

WORDS = [f"{'abcde'[n % 5]} {'fgh'[n % 3]}" for n in range(30)]


@pytest.fixture(scope="module")
def workdirs(folder, trained):
    """Other workdirs beside the trained one: of the same task, and of others."""
    data = folder / "other_data"
    data.mkdir()
    rows = "".join(f"{word},{CLASS_NAMES[n % 4]}\n" for n, word in enumerate(WORDS))
    (data / "table.csv").write_text(f"text,label\n{rows}")
    (data / "changed.csv").write_text(f"text,label\n{rows}".replace("a f", "a g"))
    (data / "text.txt").write_text("abc def\n" * 9)
    tokenizer = Tokenizer.load(folder / "run" / "tokenizer.json")
    untrained = with_fields(make_experiment(folder), "model", num_encoder_layers=2)
    untrained = with_fields(untrained, "decoding", method="greedy")
    write_workdir(folder / "untrained", untrained, tokenizer, lambda drawn: drawn)
    for name, table, seed in (("c1", "table", 0), ("c2", "table", 1), ("c3", "changed", 0)):
        file = str(data / f"{table}.csv")
        paths = {"train_file": file, "validation_file": file, "data_dir": str(data)}
        experiment = with_fields(EXPERIMENTS["texts"], "data", **paths)
        experiment = dataclasses.replace(experiment, seed=seed)
        factor = 5.0 if seed else 2.0
        write_workdir(folder / name, experiment, change=lambda v, f=factor: scaled(v, f))
    texts = {name: str(data / "text.txt") for name in ("train_text", "validation_text")}
    experiment = with_fields(EXPERIMENTS["language_model"], "data", data_dir=str(data), **texts)
    shutil.copytree(write_workdir(folder / "l1", experiment), folder / "l2")
    return folder


def scaled(variables, factor):
    return jax.tree.map(lambda array: factor * array, variables)


@pytest.mark.usefixtures("workdirs")
def test_two_translators_are_compared_on_the_outputs_that_evaluate_keeps(run, folder):
    result = run("compare", "run", "untrained", "--json", "--weights", "last")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["settings"]["model.num_encoder_layers"] == [1, 2]
    assert found["settings"]["decoding.method"] == ["beam", "greedy"]
    assert set(found["settings"]) == {"model.num_encoder_layers", "decoding.method"}
    kept = [
        (folder / name / "scores" / f"validation-last-{method}.txt").read_text().split("\n")[:-1]
        for name, method in (("run", "beam4"), ("untrained", "greedy"))
    ]
    expected = compare_texts(kept[0], kept[1], TARGETS)
    exact = ([text == target for text, target in zip(side, TARGETS, strict=True)] for side in kept)
    expected["exact_match"] = compare_decisions(*exact)
    assert found["tested"] == {name: test._asdict() for name, test in expected.items()}
    assert found["tested"]["exact_match"]["p_value"] < 1e-4
    scores = [record["scores"]["bleu"]["value"] for record in found["records"]]
    assert scores == pytest.approx([expected["bleu"].first, expected["bleu"].second])
    assert len(found["examples"]) == 5
    assert found["num_changed"] == sum(a != b for a, b in zip(*kept, strict=True))
    for example in found["examples"]:
        pair = PAIRS[example["number"] - 1]
        assert (example["source"], example["right"]) == (pair.source, [pair.target])
        assert example["outputs"] == [side[example["number"] - 1] for side in kept]
    changes = [abs(a - b) for a, b in (one["quality"] for one in found["examples"])]
    assert changes == sorted(changes, reverse=True)


@pytest.mark.usefixtures("workdirs")
def test_the_report_shows_settings_scores_and_examples(run):
    lines = run("compare", "run", "untrained", "--weights", "last", "--num-examples", "1").out
    assert "  --model.num-encoder-layers: 1 -> 2\n" in lines
    assert "scores on validation, checkpoints up to step 100 and 1\n" in lines
    assert "exact_match: McNemar's exact test\n" in lines
    assert "bleu: paired bootstrap, nrefs:1|bs:1000|seed:12345|case:mixed|eff:no|tok:13a" in lines
    assert "outputs that differ: 20; those that changed most\n" in lines
    assert "      first  100.00  " in lines
    assert lines.count("      second ") == 1


@pytest.mark.usefixtures("workdirs")
def test_kept_outputs_are_used_only_if_they_are_of_the_same_weights_and_search(run, folder):
    command = ("compare", "run", "untrained", "--json", "--num-examples", "20", "--weights", "best")
    first = run(*command).out
    path = folder / "run" / "scores" / "validation-best-beam4"
    texts, record = path.with_suffix(".txt"), path.with_suffix(".json")
    lines = texts.read_text().split("\n")
    texts.write_text("\n".join(["changed by hand", *lines[1:]]))
    examples = json.loads(run(*command).out)["examples"]
    assert any(one["outputs"][0] == "changed by hand" for one in examples)
    for field, value in (("checkpoint_step", 99), ("dtype", "bfloat16"), ("num_averaged", 2)):
        kept = json.loads(record.read_text())
        record.write_text(json.dumps(kept | {field: value}))
        texts.write_text("\n".join(["changed by hand", *lines[1:]]))
        again = json.loads(run(*command).out)
        assert again["examples"] == json.loads(first)["examples"]
    record.write_text("{")
    assert json.loads(run(*command).out)["tested"] == json.loads(first)["tested"]


@pytest.mark.usefixtures("workdirs")
def test_two_classifiers_are_compared_by_their_decisions(run, folder):
    found = json.loads(run("compare", "c1", "c2", "--json", "--num-examples", "99").out)
    given = [
        [line.split("\t")[0] for line in path.read_text().splitlines()]
        for path in (folder / name / "scores" / "validation-average.txt" for name in ("c1", "c2"))
    ]
    labels = [CLASS_NAMES[n % 4] for n in range(30)]
    right = ([a == b for a, b in zip(side, labels, strict=True)] for side in given)
    assert found["tested"] == {"accuracy": compare_decisions(*right)._asdict()}
    assert found["settings"] == {"seed": [0, 1]}
    changed = {index + 1 for index, pair in enumerate(zip(*given, strict=True)) if len({*pair}) > 1}
    assert changed
    assert {one["number"] for one in found["examples"]} == changed
    for one in found["examples"]:
        index = one["number"] - 1
        assert one["source"] == WORDS[index]
        assert one["right"] == [labels[index]]
        assert one["outputs"] == [side[index] for side in given]


@pytest.mark.usefixtures("workdirs")
def test_of_language_models_only_the_scores_are_compared(run):
    result = run("compare", "l1", "l2")
    assert result.code == 0
    assert "all settings are the same\n" in result.out
    assert "significance is not computed: only sums over the split are kept" in result.out
    assert "outputs" not in result.out


@pytest.mark.usefixtures("workdirs")
def test_the_curves_of_both_are_drawn_in_one_picture(run, folder):
    shutil.copytree(folder / "run", folder / "copy", dirs_exist_ok=True)
    result = run("compare", "run", "copy", "--out", "both.svg", "--weights", "last")
    assert "all settings are the same\n" in result.out
    assert "all outputs are the same\n" in result.out
    assert result.out.endswith("drawn in both.svg\n")
    text = (folder / "both.svg").read_text()
    assert "<!-- run" in text
    assert "<!-- copy" in text


@pytest.mark.usefixtures("workdirs")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run"], "1 workdirs to compare: give two"),
        (["run", "untrained", "c1"], "3 workdirs to compare: give two"),
        (["run", "./run"], "run and run are the same workdir: give two"),
        (["run", "nothing"], "nothing holds no run"),
        (["run", "c1"], "run holds a model for translation, c1 one for text_classification"),
        (["c1", "c3"], r"c1 and c3 have different examples in the split validation \([0-9a-f]{12}"),
        (["run", "untrained", "--split", "validatoin"], "'validatoin': did you mean 'validation'"),
        (["run", "untrained", "--weights", "worst"], "invalid choice 'worst' for argument"),
        (["run", "untrained", "--num-examples", "-1"], "--num-examples must be at least 0, not -1"),
        (["run", "untrained", "--out", "no/a.png"], "no folder no for the picture a.png"),
        (["run", "untrained", "--out", "a.png"], "untrained has measured no training loss yet"),
    ],
)
def test_a_mistake_gets_one_line(run, words, message):
    assert_is_error(run("compare", *words), message)
