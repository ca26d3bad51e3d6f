import dataclasses
import html
import json
import re
import shutil

import numpy as np
import pytest
from command_line import assert_is_error
from small import PAIRS
from untrained import CLASS_NAMES

import flax_transformer as ft
from flax_transformer.experiment import write_experiment
from flax_transformer.functional.kernels.attention_forms import has_gpu
from flax_transformer.training.checkpoints.workdir import Workdir

TEXT, TARGET, _ = PAIRS[7]


def tokens_of(page):
    (header,) = re.findall(r'id="header">(.*?)</script>', page)
    return json.loads(header)["readings"][0]["tokens"]


@pytest.mark.usefixtures("trained")
def test_the_page_shows_the_translation_that_translate_prints(run, tmp_path):
    out = tmp_path / "page.html"
    result = run("attention", "--workdir", "run", TEXT, "--out", str(out))
    expected = f"{TEXT} → {TARGET}\nshown in {out}: open it in a browser\n"
    assert (result.code, result.out, result.err) == (0, expected, "")
    assert run("translate", "--workdir", "run", TEXT).out == f"{TARGET}\n"
    page = out.read_text("utf-8")
    assert f"<h1>{html.escape(TEXT)} → {TARGET}</h1>" in page
    tokens = tokens_of(page)
    assert "".join(tokens["source"]).replace("␣", " ") == f"{TEXT}</s>"
    assert "".join(tokens["target"]).replace("␣", " ") == f"<s>{TARGET}"
    for part in ("encoder", "decoder", "cross"):
        assert f'id="0-{part}-0"' in page


@pytest.mark.usefixtures("trained")
def test_a_target_takes_the_translation_s_place(run, folder):
    result = run("attention", "--workdir", "run", TEXT, "--target", "zwei\nZüge")
    expected = f"{TEXT} → zwei Züge\nshown in attention.html: open it in a browser\n"
    assert (result.code, result.out) == (0, expected)
    tokens = tokens_of((folder / "attention.html").read_text("utf-8"))
    assert "".join(tokens["target"]) == r"<s>zwei⏎Z\xc3\xbcge"


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workdir", "run"], "Missing from flax-transformer attention: STR Text to translate"),
        (["a"], "Missing from flax-transformer attention: --workdir"),
        (["a", "--workdir", "nothing"], "nothing holds no run"),
        ([" ", "--workdir", "run"], "text is blank: give one"),
        (["a", "--workdir", "run", "--target", ""], "target is blank: give one"),
        (["twenty two " * 30, "--workdir", "run"], r"text has \d+ tokens, but the model reads 24"),
        (["a", "--workdir", "run", "--out", "no/a.html"], r"no folder no for the page a\.html"),
        # The workdir is not read before.
        (["a", "--workdir", "nothing", "--out", "."], r"\. is not a file: give another name for"),
        (
            ["a", "--workdir", "run", "--length", "3"],
            "run holds .* translation, which reads no --length",
        ),
    ],
)
def test_a_mistake_gets_one_line(run, words, message):
    assert_is_error(run("attention", *words), message)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("kind", "given", "tokens", "part"),
    [
        ("texts", "two two", ["<s>", "two", "␣", "two", "</s>"], "encoder-0"),
        ("images", "frames.png", ["[class]", "row 0, column 0", "row 0, column 1"], "attention-0"),
        ("videos", "frames.png", ["time 0, row 0, column 0"], "attention-0"),
    ],
)
def test_a_classifier_is_shown_with_the_class_that_classify_prints(
    run, folder, kind, given, tokens, part
):
    result = run("attention", "--workdir", kind, given, "--out", f"{kind}.html")
    assert (result.code, result.err) == (0, "")
    label, probability = run("classify", "--workdir", kind, given).out.split("\t")[:2]
    assert label in CLASS_NAMES
    told = re.match(rf"{given} → {label} \(([\d.]+)%\)", result.out)
    assert told is not None
    assert float(told[1]) == pytest.approx(100 * float(probability), abs=0.06)
    page = (folder / f"{kind}.html").read_text("utf-8")
    assert tokens_of(page)["source"][: len(tokens)] == tokens
    assert f'id="0-{part}"' in page
    assert ('id="frame-0"' in page) == (kind != "texts")


@pytest.mark.usefixtures("untrained")
def test_a_language_model_is_shown_with_what_generate_prints(run, folder):
    words = ["--workdir", "language_model", "bad", "--length", "7"]
    result = run("attention", *words)
    written = run("generate", *words, "--decoding.method", "greedy").out
    assert (result.code, result.err) == (0, "")
    assert result.out.splitlines()[0] == written.strip("\n")
    page = (folder / "attention.html").read_text("utf-8")
    assert "".join(tokens_of(page)["target"]) == written[: 3 + 7 - 1]
    alone = run("attention", *words[:3])
    assert alone.out.splitlines()[0] == "bad"


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["texts", "two", "--target", "zwei"], "classification, which reads no --target: leave"),
        (["language_model", "a", "--target", "b"], "language_modeling, which reads no --target"),
        (["images", "frames.png", "--length", "3"], "classification, which reads no --length"),
        (["images", "small.py"], "cannot read small.py"),
        (["videos", "no.gif"], "cannot read no.gif"),
        (["texts", "t" * 90], r"text has \d+ tokens, but the model reads 17: give a shorter"),
        (["language_model", "a", "--length", "18"], "length 18 is more than the 17 tokens"),
    ],
)
def test_a_mistake_with_another_kind_gets_one_line(run, words, message):
    assert_is_error(run("attention", "--workdir", *words), message)


@pytest.mark.skipif(has_gpu(), reason="cuDNN's attention computes here")
@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("kind", "given"), [("texts", "two"), ("images", "frames.png"), ("language_model", "bad")]
)
def test_a_model_of_cudnn_is_shown_where_there_is_no_cudnn(run, folder, kind, given):
    fused = folder / f"cudnn_{kind}"
    shutil.copytree(folder / kind, fused)
    experiment = Workdir(fused).load()
    settings = {"attention_dropout_rate": 0.0, "dtype": "bfloat16"}
    model = dataclasses.replace(experiment.model, attention_implementation="cudnn", **settings)
    write_experiment(fused / "experiment.json", dataclasses.replace(experiment, model=model))
    result = run("attention", "--workdir", fused.name, given)
    assert result.code == 0, result.err
    assert "attention by cudnn needs an NVIDIA GPU: auto is used" in result.err


def readings_of(page):
    (header,) = re.findall(r'id="header">(.*?)</script>', page.read_text("utf-8"))
    return json.loads(header)["readings"]


@pytest.mark.usefixtures("trained")
def test_each_head_is_taken_away(run, folder):
    result = run("attention", "--workdir", "run", TEXT, "--ablate")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"{TEXT} → {TARGET}\nshown in attention.html: open it in a browser\n"
    whole, *others = readings_of(folder / "attention.html")
    assert whole["title"] == f"{TEXT} → {TARGET}"
    names = {name for grid in whole["grids"] for row in grid["opens"] for name in row}
    assert names == {other["name"] for other in others}
    # Greedy search without a head, computed by itself.
    predictor = ft.load("run")
    inputs = predictor.given(TEXT, None)
    patch = {"decoder.0.cross_attention.heads": ft.inspection.At(0.0, heads=1)}
    predictor.variables = ft.inspection.patched(predictor.model, predictor.variables, inputs, patch)
    (found,) = [r for r in others if r["name"] == "without decoder 0 cross-attention head 1"]
    assert found["title"] == f"{TEXT} → {predictor.translate(TEXT)}"
    before, after = (
        _log_prob(predictor, variables, inputs)
        for variables in (ft.load("run").variables, predictor.variables)
    )
    change = float(found["notes"][0].rpartition(" ")[2])
    assert change == pytest.approx(after - before, abs=0.006)


def _log_prob(predictor, variables, inputs):
    """Of the target with its end mark, in float64."""
    logits = np.asarray(predictor.model.apply(variables, **inputs), np.float64)[0]
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    ids = [*np.asarray(inputs["target"])[0, 1:], predictor.tokenizer.eos_id]
    return log_probs[np.arange(len(ids)), ids].sum()


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("kind", "given"), [("texts", "two"), ("images", "frames.png"), ("language_model", "bad")]
)
def test_every_kind_of_model_is_shown_without_its_heads(run, folder, kind, given):
    result = run("attention", "--workdir", kind, given, "--ablate")
    assert (result.code, result.err) == (0, "")
    whole, *others = readings_of(folder / "attention.html")
    (attention,) = [grid for grid in whole["grids"] if grid["title"].endswith("attention")]
    (part,) = whole["parts"]
    assert np.shape(attention["texts"]) == (part["layers"], part["heads"])
    assert max(np.abs(attention["values"]).max(), np.abs(whole["grids"][1]["values"]).max()) == 1
    assert len(others) == part["layers"] * (part["heads"] + 1)


@pytest.mark.usefixtures("trained")
def test_another_model_is_shown_beside(run, folder, tmp_path):
    copy = str(tmp_path / "copy")
    shutil.copytree(folder / "run", copy)
    result = run("attention", "--workdir", "run", TEXT, "--beside", copy)
    assert (result.code, result.err) == (0, "")
    assert result.out.count(f"{TEXT} → {TARGET}\n") == 2
    one, other = readings_of(folder / "attention.html")
    assert (one.pop("name"), other.pop("name")) == ("run", copy)
    assert one == other


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--beside", "run"], "--beside run does not go with --workdir run"),
        (["--beside", "other", "--ablate"], "--beside other does not go with --ablate"),
        (["--beside", "nothing"], "nothing holds no run"),
        (["--abl"], "--ablate"),
    ],
)
def test_a_mistake_of_comparison_gets_one_line(run, words, message):
    assert_is_error(run("attention", "--workdir", "run", TEXT, *words), message)
