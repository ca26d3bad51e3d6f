import json

import pytest
from small import PAIRS


@pytest.mark.usefixtures("trained")
def test_scores_are_printed_as_they_are_kept(run, folder):
    command = "evaluate --workdir run --json --decoding.method greedy --weights last"
    printed = json.loads(run(*command.split()).out)
    kept = json.loads((folder / "run/scores/validation-last-greedy.json").read_text())
    assert printed == kept
    assert printed["split"] == "validation"
    assert printed["checkpoint_step"] == 100
    assert printed["decoding"]["method"] == "greedy"
    assert printed["scores"]["exact_match"]["value"] == 100
    outputs = (folder / "run/scores/validation-last-greedy.txt").read_text(encoding="utf-8")
    assert outputs.splitlines() == [pair.target for pair in PAIRS]


@pytest.mark.usefixtures("trained")
def test_another_type_of_computation_is_kept_beside_the_first(run, folder):
    command = "evaluate --workdir run --json --decoding.method greedy --weights best"
    float32, bfloat16 = (
        json.loads(run(*f"{command}{option}".split()).out) for option in ("", " --dtype bfloat16")
    )
    assert [record["dtype"] for record in (float32, bfloat16)] == ["float32", "bfloat16"]
    assert bfloat16["scores"]["exact_match"]["value"] == 100
    perplexities = [record["scores"]["perplexity"]["value"] for record in (float32, bfloat16)]
    assert 0 < abs(perplexities[0] - perplexities[1]) < 0.03 * perplexities[0]
    kept = folder / "run/scores/validation-best-greedy-bfloat16.json"
    assert json.loads(kept.read_text()) == bfloat16
