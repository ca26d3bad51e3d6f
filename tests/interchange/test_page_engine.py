"""The scripts of a model's page compute what JAX and our tokenizers do."""

import json
import random
import sys
from typing import Any

import numpy as np
import pytest
import tokenizers
from operation_examples import EXAMPLES, ROWS, draw, examples_of
from PIL import Image
from published_experiments import MARKS, lines

from flax_transformer.data.files.image_files import fit
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.interchange.programs.model_programs import NotHeldError
from flax_transformer.interchange.programs.page_engine import FOLDER, SCRIPTS, PageEngine
from flax_transformer.interchange.programs.page_graphs import PackedArrays, pack_programs
from flax_transformer.interchange.programs.page_tokenizers import page_tokenizer
from flax_transformer.visualization.page_files import read_files

pytestmark = pytest.mark.usefixtures("quickly_compiled")
NOTHING: dict[str, Any] = {"programs": {}, "arrays": []}
KINDS = {"bytes": Tokenizer.train(lines(), 300), "characters": Tokenizer.of_characters(lines())}


def need_engine() -> Any:
    return pytest.importorskip("py_mini_racer", reason="needs the extra page")


@pytest.fixture(scope="module")
def operations() -> PageEngine:
    """All examples as the programs of one page."""
    need_engine()
    programs = {
        f"{name} {number}": program
        for name in EXAMPLES
        for number, program in enumerate(examples_of(name))
    }
    return PageEngine(*pack_programs(programs, {}))


@pytest.mark.parametrize("primitive", EXAMPLES)
def test_an_operation_gives_the_same(primitive, operations):
    for number, program in enumerate(examples_of(primitive)):
        inputs = draw(ROWS)
        expected = np.asarray(program.function({}, inputs)["y"])
        found = operations.run(f"{primitive} {number}", inputs)["y"]
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def scripts(*names: str) -> Any:
    """Some scripts of the page, to call their functions."""
    runner = need_engine().MiniRacer()
    runner.eval(read_files(*names, package=FOLDER))
    return runner


def test_all_numbers_of_16_bits_are_read():
    halves = np.arange(2**16, dtype=np.uint16)
    halves = halves[np.isfinite(halves.view(np.float16))]
    found = scripts("arrays.js").call("((x) => [...fromHalves(x)])", halves.tolist())
    np.testing.assert_array_equal(found, halves.view(np.float16).astype(np.float64))


def texts() -> list[str]:
    """Texts of all kinds of characters, known and unknown, and long ones."""
    rng = random.Random(11)
    ranges = [(0, 128), (0, 0x3000), (0x1F300, 0x1F700), (0x2000, 0x2070), (0xFB00, 0x10000)]
    drawn = [
        "".join(chr(rng.randrange(*rng.choice(ranges))) for _ in range(rng.randrange(1, 30)))
        for _ in range(200)
    ]
    known = "it's we'll I'd 12\u00bd  x\u00a0\u2003y\u3000 \r\n\n z\u0301 \u0e01\u0e33 \ufeff"
    return [*MARKS, *lines(), known, known * 40, "ab" * 300, *drawn]


@pytest.mark.parametrize("kind", KINDS)
def test_texts_have_the_same_tokens(kind):
    need_engine()
    tokenizer = KINDS[kind]
    page = PageEngine({**NOTHING, "tokenizer": page_tokenizer(tokenizer)}, b"")
    assert [page.encode(text) for text in texts()] == tokenizer.encode_batch(texts())


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_have_the_same_texts(kind):
    need_engine()
    tokenizer = KINDS[kind]
    page = PageEngine({**NOTHING, "tokenizer": page_tokenizer(tokenizer)}, b"")
    rng = np.random.default_rng(5)
    # Bytes in any order, which are seldom whole characters; the first ids are marks.
    rows = [rng.integers(0, tokenizer.vocab_size, length).tolist() for length in range(120)]
    assert [page.decode(row) for row in rows] == list(map(tokenizer.decode, rows))
    ids = range(tokenizer.vocab_size)
    assert list(map(page.name, ids)) == tokenizer.names(ids)


def test_a_tokenizer_that_was_not_learned_is_refused():
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a"))
    with pytest.raises(NotHeldError, match=r"^a tokenizer that was not learned in a training$"):
        page_tokenizer(Tokenizer(words))
    contents = json.loads(KINDS["bytes"].to_json())
    contents["normalizer"] = {"type": "Lowercase"}
    with pytest.raises(NotHeldError, match="not learned"):
        page_tokenizer(Tokenizer.from_json(json.dumps(contents)))


@pytest.mark.parametrize(
    ("size", "shape"), [((37, 23), (8, 8, 1)), ((64, 5), (11, 7, 3)), ((3, 4), (7, 5, 1))]
)
def test_pictures_are_resized_as_by_the_commands(size, shape):
    runner = scripts("pixel_scaling.js")
    # Pillow may begin with either axis, which matters where numbers are cut off at 0 or 255.
    pixels = np.random.default_rng(3).integers(80, 176, (*size, 4), np.uint8)
    pixels[..., 3] = 255
    canvas = """((height, width, data, shape) => [...pixelsForModel(
      { height, width, getContext: () => ({ getImageData: () => ({ data }) }) }, shape)])"""
    found = np.reshape(runner.call(canvas, *size, pixels.ravel().tolist(), shape), shape)
    expected = fit(Image.fromarray(pixels).convert("RGB"), *shape)
    assert np.abs(found - expected.astype(int)).max() <= 1
    assert expected.std() > 5


def test_samples_follow_the_probabilities_and_the_seed():
    runner = scripts(*SCRIPTS)
    runner.eval("""const draws = (temperature, seed, number) => {
      const choose = sampler(temperature, seed);
      return Array.from({ length: number }, () => choose([Math.log(1), Math.log(4), -Infinity]));
    };""")
    found = np.bincount(runner.call("draws", 1, 3, 4000), minlength=3)
    np.testing.assert_allclose(found / 4000, [0.2, 0.8, 0], atol=0.03)
    sharper = np.bincount(runner.call("draws", 0.5, 3, 4000), minlength=3)
    np.testing.assert_allclose(sharper / 4000, [1 / 17, 16 / 17, 0], atol=0.03)
    assert runner.call("draws", 1, 3, 40) == runner.call("draws", 1, 3, 40)
    assert runner.call("draws", 1, 3, 40) != runner.call("draws", 1, 4, 40)
    assert runner.call("draws", 0, 3, 40) == [1] * 40
    firsts = [runner.call("draws", 1, seed, 1)[0] for seed in range(300)]
    assert 0.7 < np.mean(firsts) < 0.9


def test_equal_arrays_are_kept_once():
    arrays = PackedArrays()
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    places = [arrays.add(table, is_half=True), arrays.add(table), arrays.add(table.copy())]
    assert places == [0, 1, 1]
    assert len(arrays.contents) == 12 + 24
    assert arrays.add(np.array([np.iinfo(np.int64).max])) == 2
    assert arrays.table[2] == {"dtype": "int32", "shape": (1,), "offset": 36, "isHalf": False}
    with pytest.raises(NotHeldError, match=r"^numbers of the type complex64$"):
        arrays.add(np.zeros(2, np.complex64))


def test_the_package_is_named_if_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "py_mini_racer", None)
    expected = r"^--format page needs the package mini-racer, .* 'flax_transformer\[page\]'$"
    with pytest.raises(UserError, match=expected):
        PageEngine(NOTHING, b"")
