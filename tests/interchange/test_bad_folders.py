"""Folders that are damaged or dangerous: each is refused in one line."""

import contextlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors_of_tests import change_tensors, joined, parts
from small_folders import write_folder

from flax_transformer.errors import UserError
from flax_transformer.interchange import exported_folders, parameters
from flax_transformer.interchange.pixel_settings import check_pixels

FILE, CONFIG, INDEX = "model.safetensors", "config.json", "model.safetensors.index.json"
FIRST, LAST = "transformer.wte.weight", "transformer.ln_f.bias"


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_folder("gpt2", tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def sharded(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exported_folders, "LARGEST_FILE", 40_000)
        return write_folder("gpt2", tmp_path_factory.mktemp("sharded"))


def copied(folder: Path, to: Path) -> Path:
    for path in folder.iterdir():
        (to / path.name).write_bytes(path.read_bytes())
    return to


def refuse(folder: Path, message: str) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}
    with pytest.raises(UserError, match=message) as error:
        parameters(folder)
    assert "\n" not in str(error.value)
    assert not str(error.value).endswith(".")
    after = {path.name: path.read_bytes() for path in folder.iterdir()} if folder.is_dir() else {}
    assert after == before


def entry(header: dict[str, Any], name: str = FIRST, **changes: Any) -> dict[str, Any]:
    return header | {name: header[name] | changes}


HEADERS = {
    "without a shape": lambda h: h | {FIRST: {"dtype": "F32", "data_offsets": [0, 4]}},
    "without a type": lambda h: h | {FIRST: {"shape": [1], "data_offsets": [0, 4]}},
    "without a place": lambda h: h | {FIRST: {"dtype": "F32", "shape": [1]}},
    "an unknown type": lambda h: entry(h, dtype="F31"),
    "another type": lambda h: entry(h, dtype="F16"),
    "a type that is a number": lambda h: entry(h, dtype=32),
    "a type that is a list": lambda h: entry(h, dtype=["F32"]),
    "a larger shape": lambda h: entry(h, shape=[54, 36]),
    "a negative length": lambda h: entry(h, shape=[-53, -36]),
    "a length that is not whole": lambda h: entry(h, shape=[53.0, 36]),
    "a length that is true": lambda h: entry(h, shape=[True, 1908]),
    "a length in words": lambda h: entry(h, shape="53"),
    "a huge shape": lambda h: entry(h, shape=[2**62, 2**62]),
    "a shape of many axes": lambda h: entry(h, shape=[0] * 50),
    "one offset": lambda h: entry(h, data_offsets=[0]),
    "three offsets": lambda h: entry(h, data_offsets=[0, 1, 7632]),
    "offsets in reverse": lambda h: entry(h, data_offsets=[7632, 0]),
    "negative offsets": lambda h: entry(h, data_offsets=[-7632, 0]),
    "an overlap": lambda h: entry(h, "transformer.wpe.weight", data_offsets=[0, 30384]),
    "an entry that is a list": lambda h: h | {FIRST: [1, 2]},
    "an entry that is none": lambda h: h | {FIRST: None},
    "a tensor beyond the end": lambda h: entry(h, LAST, data_offsets=[2**40, 2**40 + 144]),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_an_impossible_header(sound, tmp_path, kind):
    header, data = parts(copied(sound, tmp_path) / FILE)
    (tmp_path / FILE).write_bytes(joined(HEADERS[kind](header), data))
    refuse(tmp_path, rf"{FILE} is damaged: ")


def twice(header: dict[str, Any]) -> str:
    return json.dumps(header)[:-1] + f', "{FIRST}": {json.dumps(header[FIRST])}}}'


FILES = {
    "empty": lambda header, data: b"",
    "seven bytes": lambda header, data: b"\0" * 7,
    "only a length": lambda header, data: b"\0" * 8,
    "a header without an end": lambda header, data: (2**60).to_bytes(8, "little") + data,
    "a header longer than the file": lambda header, data: (10**7).to_bytes(8, "little") + b"{}",
    "no JSON": lambda header, data: joined("{", data),
    "JSON that is a list": lambda header, data: joined("[]", data),
    "JSON that is deep": lambda header, data: joined("[" * 100_000, data),
    "not UTF-8": lambda header, data: (2).to_bytes(8, "little") + b"\xff\xfe" + data,
    "cut": lambda header, data: joined(header, data[:-1]),
    "longer": lambda header, data: joined(header, data + b"\0"),
    "no tensor and bytes": lambda header, data: joined("{}", data),
    "a gap": lambda header, data: joined({k: header[k] for k in header if k != FIRST}, data),
    "a name that occurs twice": lambda header, data: joined(twice(header), data),
    "a pickle": lambda header, data: pickle.dumps({"weight": 3}),
    "a file of zip": lambda header, data: b"PK\3\4" + bytes(100),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_none(sound, tmp_path, kind):
    header, data = parts(copied(sound, tmp_path) / FILE)
    (tmp_path / FILE).write_bytes(FILES[kind](header, data))
    refuse(tmp_path, rf"{FILE} (is damaged: |names {FIRST} twice: get it)")


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_number_that_is_not_finite(sound, tmp_path, number):
    def damaged(tensors):
        array = tensors["transformer.wpe.weight"].copy()
        array[-1, -1] = number
        return tensors | {"transformer.wpe.weight": array}

    change_tensors(copied(sound, tmp_path), damaged)
    refuse(tmp_path, rf"wpe\.weight of .*{FILE} has numbers that are not finite: get this file ag")


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "model.pt", "weights.pth", "last.ckpt", "tf_model.h5"]
)
def test_files_that_may_run_code(sound, tmp_path, name):
    (copied(sound, tmp_path) / FILE).rename(tmp_path / name)
    refuse(tmp_path, rf"{name} may run any code .* convert it by AutoModel.from_pretrained")


INDEXES = {
    "a path above": ({FIRST: "../model.safetensors"}, "give the plain name of a file in"),
    "a whole path": ({FIRST: "/etc/passwd"}, "give the plain name of a file in"),
    "a path below": ({FIRST: "more/model.safetensors"}, "give the plain name of a file in"),
    "dots": ({FIRST: ".."}, "give the plain name of a file in"),
    "no name": ({FIRST: ""}, "give the plain name of a file in"),
    "a number": ({FIRST: 3}, "give the plain name of a file in"),
    "a missing file": ({FIRST: "model-9.safetensors"}, "but the folder lacks it: get it$"),
    "a tensor more": ({"more": "model-00001-of-00003.safetensors"}, "differ about more: get"),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_an_index_that_does_not_fit(sharded, tmp_path, kind):
    change, message = INDEXES[kind]
    path = copied(sharded, tmp_path) / INDEX
    index = json.loads(path.read_text())
    assert len(set(index["weight_map"].values())) == 3
    path.write_text(json.dumps(index | {"weight_map": index["weight_map"] | change}))
    refuse(tmp_path, message)


def test_a_tensor_in_two_files(sharded, tmp_path):
    copied(sharded, tmp_path)
    (tmp_path / "model-00002-of-00003.safetensors").write_bytes(
        (tmp_path / "model-00001-of-00003.safetensors").read_bytes()
    )
    refuse(tmp_path, "is in both model-00001-of-00003.safetensors and model-00002")


@pytest.mark.parametrize("weight_map", [None, {}, [1], "text"])
def test_an_index_without_a_map(sharded, tmp_path, weight_map):
    (copied(sharded, tmp_path) / INDEX).write_text(json.dumps({"weight_map": weight_map}))
    refuse(tmp_path, "has no weight_map: get this file again$")


CONFIGS = {
    "no config": (None, "config.json is missing: get it again, or give another folder$"),
    "an empty config": ("", "config.json is damaged: its JSON cannot be read"),
    "a list": ("[]", "config.json is damaged: its JSON is not an object; get it again$"),
    "a large config": (
        json.dumps({"more": "x" * 1_000_000}),
        "than 1,000,000 bytes: get it again$",
    ),
    "no family": ("{}", "config.json has no model_type: give it one of gpt2, "),
    "another family": ('{"model_type": "gpt3"}', "unknown model_type in .*did you mean 'gpt2'"),
    "a family that is a list": ('{"model_type": []}', "unknown model_type in "),
    "a key that occurs twice": (
        '{"n_layer": 1, "n_layer": 2}',
        "names n_layer twice: get it again$",
    ),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_that_is_none(sound, tmp_path, kind):
    text, message = CONFIGS[kind]
    (copied(sound, tmp_path) / CONFIG).unlink()
    if text is not None:
        (tmp_path / CONFIG).write_text(text)
    refuse(tmp_path, message)


KEYS = {
    "code of others": ({"auto_map": {"AutoModel": "code.Model"}}, "auto_map is unknown: remove"),
    "another head": (
        {"architectures": ["GPT2ForTokenClassification"]},
        "is a GPT2ForTokenClassification, which is not read: only its body is",
    ),
    "other numbers": ({"quantization_config": {"bits": 4}}, "quantization_config is unknown: rem"),
    "no vocabulary": (
        {"vocab_size": None},
        "vocab_size is None: it must be a positive",
    ),
    "another vocabulary": ({"vocab_size": 59}, r"wte.weight has the shape \(53, 36\) instead of"),
    "more layers": ({"n_layer": 3}, r"missing: transformer\.h\.2\.attn\.c_attn\.bias, "),
    "fewer layers": ({"n_layer": 1}, r"without a use: transformer\.h\.1\.attn\.c_attn\.bias, "),
    "other heads": ({"n_head": 5}, r"--model.d-model 36 is not a multiple of --model.num-heads 5"),
    "a wider model": ({"n_embd": 42}, r"\(53, 36\) instead of \(53, 42\)"),
    "a width in words": ({"n_embd": "36"}, "n_embd is '36'"),
    "layers in words": ({"n_layer": "2"}, "n_layer is '2'"),
    "layers below zero": ({"n_layer": -2}, "must be at least 1, not -2"),
    "a huge number of layers": ({"n_layer": 10**9}, "but there are only 28 tensors$"),
    "a huge vocabulary": ({"vocab_size": 10**10}, "vocab_size is 10000000000: it must be"),
    "a huge width": ({"n_embd": 10**10}, "n_embd is 10000000000: this cannot be --model.d-model"),
    "a wide width": ({"n_embd": 6 * 10**7}, r"\(53, 36\) instead of \(53, 60000000\)"),
    "a huge table": ({"n_positions": 2**31 - 1}, r"\(211, 36\) instead of \(2147483647, 36\)"),
    "a list of widths": ({"n_embd": [36]}, r"n_embd is \[36\]"),
    "a true width": ({"n_embd": True}, "n_embd is True"),
    "an epsilon in words": ({"layer_norm_epsilon": "x"}, "layer_norm_epsilon is 'x'"),
    "a list of activations": (
        {"activation_function": ["relu"]},
        r"activation_function is \['relu'",
    ),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_that_does_not_fit(sound, tmp_path, kind):
    change, message = KEYS[kind]
    path = copied(sound, tmp_path) / CONFIG
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    refuse(tmp_path, message)


def test_no_folder(tmp_path):
    refuse(tmp_path / "missing", "no folder .*missing: give a folder, or OWNER/NAME")
    refuse(tmp_path, "has neither model.safetensors nor model.safetensors.index.json: give")


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"image_mean": [0.5, 0.4, 0.5]}, r"image_mean is \[0.5, 0.4, 0.5\]"),
        ({"image_std": 0.25}, "image_std is 0.25"),
        ({"rescale_factor": 1}, "rescale_factor is 1"),
        ({"do_normalize": False}, "do_normalize is False"),
        ({"do_rescale": None}, "do_rescale is None"),
    ],
)
def test_pixels_of_another_scale(settings, problem, tmp_path):
    check_pixels({"image_mean": [0.5, 0.5, 0.5], "do_normalize": True}, tmp_path)
    with pytest.raises(UserError, match=f"^{tmp_path}: {problem}, but pixels are scaled from -1"):
        check_pixels(settings, tmp_path)


def test_fuzzed_headers_are_refused_or_read(sound, tmp_path):
    """One byte of the header is another one; nothing but a UserError comes of it."""
    raw = (copied(sound, tmp_path) / FILE).read_bytes()
    length, rng = int.from_bytes(raw[:8], "little"), np.random.default_rng(0)
    read = 0
    for _ in range(60):
        changed = bytearray(raw)
        changed[rng.integers(8 + length)] = rng.integers(256)
        (tmp_path / FILE).write_bytes(changed)
        with contextlib.suppress(UserError):
            parameters(tmp_path)
            read += 1
    assert read < 20
