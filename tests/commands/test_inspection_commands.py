"""The commands names, lens, trace and ablate."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import assert_is_error
from flax.traverse_util import flatten_dict, unflatten_dict
from PIL import Image
from small import PAIRS

import flax_transformer as ft
from flax_transformer.commands.trace_command import _caution
from flax_transformer.tasks.tracing import Trace
from flax_transformer.training.assemble import open_run
from flax_transformer.visualization.visible_text import visible_token

TEXT, TARGET, _ = PAIRS[7]
CLEAN, OTHER = "thirty two", "thirty six"
INSPECTIONS = ("names", "lens", "trace", "ablate")


def grids_of(page):
    (header,) = re.findall(r'id="header">(.*?)</script>', page.read_text("utf-8"))
    return json.loads(header)["readings"][0]["grids"]


@pytest.mark.usefixtures("trained")
def test_names_are_those_that_activations_takes(run):
    table = json.loads(run("names", "--workdir", "run", "--match", "decoder.0.*", "--json").out)
    assert all(name.startswith("decoder.0.") for name in table)
    assert table["decoder.0.cross_attention.weights"]["axes"].keys() == {
        "rows",
        "heads",
        "positions",
        "keys",
    }
    lines = run("names", "--workdir", "run", "--match", "decoder.0.*").out.splitlines()
    assert all(any(f" {name} " in line for line in lines) for name in table)


@pytest.mark.usefixtures("trained")
def test_the_last_layer_of_the_lens_is_the_translation(run, folder):
    result = run("lens", "--workdir", "run", TEXT, "--json")
    assert (result.code, result.err) == (0, "")
    reading = json.loads(result.out)
    last = [cell[0]["name"] for cell in reading["layers"][-1]]
    assert last[:-1] == reading["tokens"][1:]
    assert "".join(last).removesuffix("</s>").replace("␣", " ") == TARGET
    (grid,) = grids_of(folder / "lens.html")
    assert (grid["view"], grid["columns"]) == ("Lens", list(map(visible_token, reading["tokens"])))
    assert grid["texts"][0] == list(map(visible_token, last))
    best = [cell[0]["probability"] for cell in reading["layers"][-1]]
    np.testing.assert_allclose(grid["values"][0], best, atol=1e-4)


@pytest.mark.usefixtures("trained")
def test_a_target_is_read_instead(run):
    reading = json.loads(run("lens", "--workdir", "run", TEXT, "--target", "zwei", "--json").out)
    assert "".join(reading["tokens"]) == "<s>zwei"


@pytest.mark.usefixtures("trained")
def test_the_last_layer_carries_everything(run, folder):
    """At the position where the outputs differ, and from the whole of the encoder."""
    words = ["trace", "--workdir", "run", CLEAN, "--corrupt", OTHER, "--target", "zwei"]
    result = run(*words, "--json")
    assert (result.code, result.err) == (0, "")
    found = json.loads(result.out)
    shares = {name: np.array(share) for name, share in found["shares"].items()}
    assert found["clean"] != found["corrupted"]
    # Of the last layer, every position is an output of its own.
    np.testing.assert_allclose(shares["decoder"][-1].sum(), 1, atol=1e-3)
    predictor: Any = ft.load("run")
    clean, other = (predictor.given(text, "zwei") for text in (CLEAN, OTHER))
    carried = ft.inspection.activations(predictor.model, predictor.variables, clean, "encoder.0.*")
    name = "encoder.0.feed_forward_residual.residual"
    patch = {name: ft.inspection.At(carried[name], positions=1)}
    changed = ft.inspection.run_with(predictor.model, predictor.variables, other, patch)
    ids = np.append(np.asarray(clean["target"])[0, 1:], _best(predictor, clean))
    expected = (_log_prob(changed, ids) - found["corrupted"]) / (
        found["clean"] - found["corrupted"]
    )
    np.testing.assert_allclose(shares["encoder"][0, 1], expected, atol=1e-3)
    grids = grids_of(folder / "trace.html")
    for grid, share in zip(grids, shares.values(), strict=True):
        assert grid["view"] == "Trace"
        np.testing.assert_allclose(grid["values"][::-1], np.clip(share, -1, 1), atol=1e-4)


@pytest.mark.parametrize(
    ("clean", "corrupted", "words"),
    [
        (-1.0, -3.0, ""),
        (-1.0, -1.05, "difference of 0.050 nats is small"),
        (-2.0, -1.0, "more prob"),
    ],
)
def test_shares_of_a_small_or_negative_difference_come_with_a_caution(clean, corrupted, words):
    said = _caution(Trace({}, clean, corrupted))
    assert words in said
    assert bool(words) == bool(said)


def _best(predictor, inputs):
    return int(np.argmax(predictor.model.apply(predictor.variables, **inputs)[0, -1]))


def _log_prob(logits, ids):
    logits = np.asarray(logits, np.float64)[0]
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return log_probs[np.arange(len(ids)), ids].sum()


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("kind", "given", "other"),
    [
        ("texts", "two", "two two"),
        ("masked", "a [MASK]", "b [MASK] c"),
        ("images", "frames.png", "frames.png"),
        ("language_model", "bad", "ba"),
    ],
)
def test_every_kind_of_model_can_be_looked_into(run, folder, kind, given, other):
    result = run("lens", "--workdir", kind, given, "--out", f"{kind}.html")
    assert (result.code, result.err) == (0, "")
    assert "after layer 1: " in result.out
    assert (folder / f"{kind}.html").read_text("utf-8").endswith("</html>\n")
    message = "is as probable for" if given == other else "tokens, but the clean input"
    assert_is_error(run("trace", "--workdir", kind, given, "--corrupt", other), message)


@pytest.mark.usefixtures("untrained")
@pytest.mark.parametrize(
    ("kind", "first"),
    [
        ("images", ["[class]", "row 0, column 0", "row 0, column 1"]),
        ("videos", ["time 0, row 0, column 0", "time 0, row 0, column 1"]),
    ],
)
def test_patches_have_names(run, folder, kind, first):
    frames = [Image.fromarray(np.full((4, 6), 40 * number, np.uint8)) for number in range(6)]
    frames[0].save(folder / "corrupted_frames.png", save_all=True, append_images=frames[1:])
    words = ["frames.png", "--corrupt", "corrupted_frames.png", "--out", f"{kind}_trace.html"]
    result = run("trace", "--workdir", kind, *words)
    assert (result.code, result.err) == (0, "")
    page = (folder / f"{kind}_trace.html").read_text("utf-8")
    (header,) = re.findall(r'id="header">(.*?)</script>', page)
    grid, *others = json.loads(header)["readings"][0]["grids"]
    assert grid["columns"][: len(first)] == first
    assert len(grid["columns"]) == len(grid["values"][0])
    assert all(each["columns"] == ["0", "1", "2"] for each in others)  # heads


@pytest.mark.usefixtures("trained")
def test_ablation_gives_the_loss_without_each_part(run, folder):
    words = ["ablate", "--workdir", "run", "--split", "validation", "--json"]
    result = run(*words, "--out", "ablation.png")
    assert (result.code, result.err) == (0, "")
    record = json.loads(result.out)
    changes = [part["change"] for part in record["parts"]]
    assert changes == sorted(changes, reverse=True)
    heads = {(p["kind"], p["layer"], p["head"]) for p in record["parts"] if p["head"] is not None}
    assert len({kind for kind, _, _ in heads}) == 3
    assert (folder / "ablation.png").stat().st_size > 1000
    means = json.loads(run(*words, "--mean", "--top", "3").out)
    assert means["whole"] == record["whole"]
    assert len(means["parts"]) == 3
    assert {part["value"] for part in means["parts"]}.isdisjoint(
        {part["value"] for part in record["parts"] if part["head"] is not None}
    )
    table = run("ablate", "--workdir", "run", "--score", "token_accuracy", "--top", "1").out
    assert "decoder" in table or "encoder" in table
    # A head is taken away with its rows of the output projection, a network with its outputs.
    opened = open_run(Path("run"), "average")
    for part, names, rows in (
        ("cross_attention", ["kernel"], 1),
        ("feed_forward", ["kernel", "bias"], ...),
    ):
        flat: Any = flatten_dict(opened.variables["params"])
        for name in names:
            path = ("decoder_0", part, "output", name)
            flat[path] = flat[path].at[rows].set(0.0)
        silent = {"params": unflatten_dict(flat)}
        expected = opened.task.measure(silent, "validation")["loss"].value
        head = 1 if part == "cross_attention" else None
        (found,) = (
            p["value"]
            for p in record["parts"]
            if (p["kind"], p["layer"], p["head"]) == (f"decoder.{part}", 0, head)
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert abs(found - record["whole"]) > 1e-3


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["names", "--match", "decodr.*"], "no activation matches 'decodr.*'"),
        (["lens"], "Missing from flax-transformer lens: STR Text to translate"),
        (["lens", "a", "--top", "0"], "--top must be at least 1, not 0"),
        (["lens", "a", "--out", "none/page.html"], "no folder none for the page page.html"),
        (["lens", " "], "text is blank"),
        (["trace", TEXT, "--corrupt", TEXT], f"is as probable for --corrupt '{TEXT}'"),
        (["trace", TEXT, "--corrupt", "six"], r"--corrupt has \d+ tokens, but the clean input"),
        (["trace", "two"], "Missing from flax-transformer trace: --corrupt"),
        (["ablate", "--split", "validatoin"], "did you mean 'validation'"),
        (["ablate", "--score", "bleu"], "unknown --score 'bleu'"),
        (["ablate", "--out", "page.htm"], "cannot write a picture page.htm"),
    ],
)
def test_mistakes_get_one_line(run, words, message):
    assert_is_error(run(*words, "--workdir", "run"), message)
