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
