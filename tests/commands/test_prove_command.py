import json
from pathlib import Path

import pytest
from command_line import assert_is_error
from untrained import EXPERIMENTS, write_workdir

from flax_transformer.commands.prove_command import Prove
from flax_transformer.inspection.first_difference import FirstDifference, Verdict
from flax_transformer.inspection.proof_findings import Finding

pytestmark = pytest.mark.usefixtures("quickly_compiled")
EXAMINE = "flax_transformer.commands.prove_command.examine"
WRONG = FirstDifference("decoder.1.self_attention.keys", 0, 7, 0.25)


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("untrained")
    for name in ("images", "language_model"):
        write_workdir(folder / name, EXPERIMENTS[name])
    return folder


@pytest.fixture
def examined(monkeypatch):
    """Findings that cost nothing: the proofs have their own tests."""

    def examine(subject, proof, length, seed=0):
        return [Finding(proof, length, "token by token", Verdict(2e-7))]

    monkeypatch.setattr(EXAMINE, examine)


@pytest.fixture
def one_fault(monkeypatch):
    def examine(subject, proof, length, seed=0):
        verdict = Verdict(0.5, first=WRONG) if proof == "cached decoding" else Verdict(2e-7)
        return [Finding(proof, length, "token by token", verdict)]

    monkeypatch.setattr(EXAMINE, examine)


def test_a_model_is_proven_from_end_to_end(workdirs, tmp_path, run):
    """Of images, which have the fewest proofs."""
    picture = tmp_path / "prove.png"
    result = run("prove", "--workdir", str(workdirs / "images"), "--out", str(picture), "--json")
    assert result.code == 0
    record = json.loads(result.out)
    assert record["is_proven"]
    assert {finding["proof"] for finding in record["findings"]} == {
        "scanned layers",
        "devices",
        "kernels",
    }
    assert all(finding["difference"] < 1e-5 for finding in record["findings"])
    assert record["not_applicable"]["padding"] == "images and videos have no padding"
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("examined")
def test_the_table_says_what_was_found_and_what_was_not_examined(
    workdirs, tmp_path, run, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    result = run("prove", "--workdir", str(workdirs / "language_model"))
    assert result.code == 0
    assert "cached decoding, 17 tokens" in result.out
    assert "equal, largest difference 2.0e-07" in result.out
    assert "rows of 34 and 68 tokens: left out, learned positions end at 17" in result.out
    assert "all 10 comparisons are equal" in result.out
    assert "drawn in prove.png" in result.out
    assert (tmp_path / "prove.png").exists()


@pytest.mark.usefixtures("one_fault")
@pytest.mark.parametrize("as_json", [False, True])
def test_what_differs_is_named_and_the_exit_code_is_1(workdirs, tmp_path, run, as_json):
    options = ["--out", str(tmp_path / "prove.png"), *(["--json"] if as_json else [])]
    result = run("prove", "--workdir", str(workdirs / "language_model"), *options)
    assert result.code == 1
    if as_json:
        record = json.loads(result.out)
        first = next(f["first"] for f in record["findings"] if f["first"])
        assert not record["is_proven"]
        assert (first["activation"], first["position"]) == (WRONG.activation, 7)
    else:
        assert f"first difference at {WRONG.activation}, position 7" in result.out
        assert "1 of 10 comparisons differ" in result.out


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--length", "3", "--length must be at least 4, not 3"),
        ("--length", "18", "--length 18 is too long, as learned positions end at 17: give at most"),
        ("--out", "prove.docx", r"prove\.docx: end its name in one of .*\.png"),
        ("--weights", "worst", "invalid choice 'worst' for argument"),
    ],
)
def test_a_mistake_gets_one_line(workdirs, run, option, value, message):
    assert_is_error(
        run("prove", "--workdir", str(workdirs / "language_model"), option, value), message
    )


def test_the_options_are_those_of_the_class():
    assert Prove(workdir=Path("w")).out == Path("prove.png")
