"""A GGUF file of a Llama is the model of its folder, with the tokenizer of its metadata."""

import re
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from small_folders import write_folder
from tokenizers import pre_tokenizers

from flax_transformer.data.files import gguf_file
from flax_transformer.data.tokens.gguf_tokenizer import read_gguf_tokenizer
from flax_transformer.errors import UserError
from flax_transformer.interchange import parameters
from flax_transformer.interchange.gguf_models import NAMES
from flax_transformer.interchange.published_runs import open_published_run
from flax_transformer.interchange.safetensors_files import Tensors

gguf: Any = pytest.importorskip("gguf", reason="gguf is not installed: pip install '.[gguf]'")

HEADS = {"q": 6, "k": 2}
PIECES = ["<unk>", "<s>", "</s>", "<eot>", "\u2581", *"abcdefghijklmnopqrstuvwxyz", "\u2581a", "ab"]
PIECES += [f"[{number}]" for number in range(53 - len(PIECES))]
KINDS = [2, 3, 3, 3] + [1] * 49
SCORES = [0.0] * 31 + [-1.0, -2.0] + [-9.0] * 20


def their_name(name: str) -> str:
    """The name that llama.cpp gives to a tensor of transformers."""
    name = re.sub(r"self_attn\.o_proj", "attn_output", name)
    name = re.sub(r"self_attn\.([qkv])_proj", r"attn_\1", name)
    name = re.sub(r"mlp\.(gate|up|down)_proj", r"ffn_\1", name)
    parts = {
        "model.layers.": "blk.",
        "post_attention_layernorm": "ffn_norm",
        "input_layernorm": "attn_norm",
        "model.embed_tokens": "token_embd",
        "model.norm": "output_norm",
        "lm_head": "output",
    }
    for part, theirs in parts.items():
        name = name.replace(part, theirs)
    assert any(re.fullmatch(pattern, name) for pattern in NAMES)
    return name


def in_pairs(name: str, array: np.ndarray) -> np.ndarray:
    """The rows of queries and keys in the order of llama.cpp."""
    match = re.search(r"self_attn\.([qk])_proj", name)
    if not match:
        return np.array(array)
    halves = array.reshape(HEADS[match[1]], 2, -1, *array.shape[1:])
    return np.array(halves.swapaxes(1, 2).reshape(array.shape))


def write(path: Path, folder: Path | None, architecture: str = "llama", **fields: Any) -> Path:
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(2)
    writer.add_embedding_length(36)
    writer.add_feed_forward_length(29)
    writer.add_head_count(6)
    writer.add_head_count_kv(2)
    writer.add_key_length(10)
    writer.add_value_length(10)
    writer.add_rope_dimension_count(10)
    writer.add_context_length(2048)
    writer.add_layer_norm_rms_eps(1e-3)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(PIECES)
    writer.add_token_types(KINDS)
    writer.add_token_scores(SCORES)
    for role, number in {"bos": 1, "eos": 2, "unk": 0, "eot": 3}.items():
        getattr(writer, f"add_{role}_token_id")(number)
    writer.add_chat_template("{{ bos_token }}{{ messages[0].content }}")
    for name, value in fields.items():
        writer.add_uint32(f"llama.{name}", value)
    if folder is not None:
        tensors = Tensors(folder)
        for name in tensors:
            writer.add_tensor(their_name(name), in_pairs(name, tensors[name]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder("llama", tmp_path_factory.mktemp("published"))


@pytest.fixture(scope="module")
def file(folder, tmp_path_factory):
    return write(tmp_path_factory.mktemp("gguf") / "model.gguf", folder)


def test_the_file_is_the_model_of_the_folder(folder, file):
    config, _, variables = parameters(folder)
    found, _, same = parameters(file)
    assert found == config
    jax.tree.map(np.testing.assert_array_equal, same, variables)


def test_tokenizer_template_and_ends_are_those_of_the_metadata(file):
    run: Any = open_published_run(file)
    tokenizer = run.task.tokenizer
    ids = tokenizer.encode("ab a<eot>b", marked=True)
    names = tokenizer.names(ids)
    assert names == ["<s>", "\u2581a", "b", "\u2581a", "<eot>", "b"]
    assert tokenizer.decode(ids[:4]) == "ab a"
    assert tokenizer.end_ids == (2, 3)
    assert tokenizer.model.chat_template == "{{ bos_token }}{{ messages[0].content }}"
    assert run.files == ["model.gguf"] * len(run.files)


def bytes_file(path: Path, pre: str) -> Path:
    """A tokenizer of all bytes with one merge."""
    spelled = sorted(pre_tokenizers.ByteLevel.alphabet())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([*spelled, "12", "<eot>"])
    writer.add_token_types([1] * (len(spelled) + 1) + [3])
    writer.add_token_merges(["1 2"])
    writer.add_bos_token_id(len(spelled) + 1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path


@pytest.mark.parametrize(
    ("pre", "expected"),
    [
        ("gpt-2", ["12", "3", "4", "<eot>", " ", "12"]),
        ("smollm", ["1", "2", "3", "4", "<eot>", " ", "1", "2"]),
        ("llama-bpe", ["<eot>", "12", "3", "4", "<eot>", " ", "12"]),
    ],
)
def test_texts_are_split_as_the_file_says(pre, expected, tmp_path):
    tokenizer = read_gguf_tokenizer(bytes_file(tmp_path / "model.gguf", pre))
    ids = tokenizer.encode("1234<eot> 12", marked=True)
    assert tokenizer.names(ids) == expected
    text = "tz &  ß\n\n'll 東"
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_an_unknown_split_is_refused(tmp_path):
    with pytest.raises(UserError, match="splits texts as deepseek: only gpt-2, smollm and llama-"):
        read_gguf_tokenizer(bytes_file(tmp_path / "model.gguf", "deepseek"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "mamba"}, "holds the architecture mamba: only llama is read from GGUF"),
        ({"expert_count": 7}, r"has llama\.expert_count 7, which is not read from GGUF files"),
        ({"vocab_size": 51}, r"has llama\.vocab_size 51, which is not read from GGUF files"),
    ],
)
def test_another_model_is_refused(options, message, folder, tmp_path):
    with pytest.raises(UserError, match=message):
        parameters(write(tmp_path / "model.gguf", folder, **options))


def test_a_damaged_file_is_refused(file, tmp_path):
    contents = file.read_bytes()
    for number, damaged in enumerate((contents[:999], contents[:-99], b"GGUF", b"x" * 99)):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"is not a whole GGUF file \(.*\): get it again"):
            parameters(path)
    with pytest.raises(UserError, match=r"has no tensor token_embd\.weight: get it again"):
        parameters(write(tmp_path / "empty.gguf", None))


def test_quantized_numbers_are_near(tmp_path):
    array = np.random.default_rng(0).normal(size=(3, 64)).astype(np.float32)
    kind = gguf.GGMLQuantizationType.Q8_0
    writer = gguf.GGUFWriter(tmp_path / "model.gguf", "llama")
    writer.add_tensor("x", gguf.quants.quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = gguf_file.read_gguf(tmp_path / "model.gguf").numbers("x")
    assert found.shape == (3, 64)
    np.testing.assert_allclose(found, array, atol=np.abs(array).max() / 127)


def test_without_the_package_the_message_says_how_to_install_it(file, monkeypatch):
    gguf_file._read.cache_clear()
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(UserError, match=r"run pip install 'flax_transformer\[gguf\]'"):
        parameters(file)
