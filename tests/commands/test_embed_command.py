import json

import numpy as np
import pytest
from command_line import assert_is_error
from untrained import EXPERIMENTS, write_workdir

from flax_transformer.training.assemble import load

TEXTS = ["two", "", "twenty-two two two", "two two"]


@pytest.fixture(scope="module")
def vectors(folder):
    """Vectors of texts by the workdir "encoder", of an untrained masked language model."""
    for name, kind in (("encoder", "masked"), ("writer", "language_model")):
        write_workdir(folder / name, EXPERIMENTS[kind])
    return load(folder / "encoder").embed(TEXTS)


def numbers(out: str) -> np.ndarray:
    return np.array([line.split("\t") for line in out.splitlines()], np.float32)


def test_each_text_gives_a_line_of_numbers(run, vectors):
    result = run("embed", "--workdir", "encoder", *TEXTS)
    assert (result.code, result.err) == (0, "")
    np.testing.assert_array_equal(numbers(result.out), vectors)
    assert vectors.shape == (4, 12)
    lines = "".join(f"{text}\n" for text in TEXTS).encode()
    assert run("embed", "--workdir", "encoder", stdin=lines) == result
    assert run("embed", "--workdir", "encoder").out == ""
    one_at_a_time = run("embed", "--workdir", "encoder", "--batch-lines", "1", stdin=lines).out
    np.testing.assert_allclose(numbers(one_at_a_time), vectors, rtol=1e-4, atol=1e-6)


def test_json_has_the_same_numbers(run, vectors):
    lines = run("embed", "--workdir", "encoder", "--json", *TEXTS).out.splitlines()
    found = [json.loads(line) for line in lines]
    assert [(each["index"], each["input"]) for each in found] == list(enumerate(TEXTS))
    np.testing.assert_array_equal(np.array([each["vector"] for each in found], "f"), vectors)


@pytest.mark.parametrize("is_given", [True, False], ids=["arguments", "lines"])
def test_a_file_of_vectors(run, vectors, folder, is_given):
    given = TEXTS if is_given else []
    lines = b"" if is_given else "".join(f"{text}\n" for text in TEXTS).encode()
    result = run("embed", "--workdir", "encoder", "--out", "vectors", *given, stdin=lines)
    assert (result.code, result.out, result.err) == (0, "", "")
    found = np.load(folder / "vectors")
    np.testing.assert_array_equal(found, vectors)
    assert found.dtype == np.float32


def test_no_text_gives_an_empty_array(run, vectors, folder):
    run("embed", "--workdir", "encoder", "--out", "none.npy")
    assert np.load(folder / "none.npy").shape == (0, 12)


def test_vectors_are_normalized_and_pooled_as_asked(run, vectors):
    words = ["embed", "--workdir", "encoder", *TEXTS]
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    assert np.abs(lengths - 1).min() > 0.1
    normalized = numbers(run(*words, "--normalize").out)
    np.testing.assert_allclose(normalized, vectors / lengths, rtol=1e-4, atol=1e-6)
    assert numbers(run(*words, "--no-normalize").out).tolist() == vectors.tolist()
    first, largest = (numbers(run(*words, "--pooling", name).out) for name in ("first", "max"))
    assert (vectors <= largest + 1e-6).all()
    assert np.abs(first - vectors).max() > 0.01


def test_a_bad_line_does_not_stop_the_others_but_no_file_is_written(run, vectors, folder):
    lines = b"two\n\xff\ntwo two\n"
    result = run("embed", "--workdir", "encoder", stdin=lines)
    assert result.code == 2
    assert "line 2, is not UTF-8" in result.err
    first, second, third = result.out.splitlines()
    assert second == ""
    np.testing.assert_allclose(numbers(first)[0], vectors[0], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(numbers(third)[0], vectors[3], rtol=1e-4, atol=1e-6)
    assert run("embed", "--workdir", "encoder", "--out", "bad.npy", stdin=lines).code == 2
    assert not (folder / "bad.npy").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workdir", "encoder", "--pooling", "men"], "--pooling 'men': did you mean 'mean'"),
        (["--workdir", "encoder", "--json", "--out", "a.npy"], "--json prints, and --out writes"),
        (["--workdir", "encoder", "--out", "nowhere/a.npy"], "no folder nowhere"),
        (["--workdir", "writer"], "language_modeling, which cannot embed: use .* generate"),
        (["--workdir", "encodr"], "encodr holds no run"),
    ],
)
def test_a_mistake_is_one_line(run, vectors, words, message):
    assert_is_error(run("embed", *words, "two"), message)
