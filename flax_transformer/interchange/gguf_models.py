"""Llamas in GGUF files, under the names that Hugging Face's transformers gives them."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from flax_transformer.data.files.gguf_file import GgufFile, read_gguf
from flax_transformer.errors import UserError
from flax_transformer.interchange.config_fields import is_empty
from flax_transformer.interchange.safetensors_files import Place

# Patterns of their names, and those of transformers.
NAMES = {
    r"token_embd\.weight": "model.embed_tokens.weight",
    r"output_norm\.weight": "model.norm.weight",
    r"output\.weight": "lm_head.weight",
    r"blk\.(\d+)\.attn_norm\.weight": r"model.layers.\1.input_layernorm.weight",
    r"blk\.(\d+)\.ffn_norm\.weight": r"model.layers.\1.post_attention_layernorm.weight",
    r"blk\.(\d+)\.attn_([qkv])\.(weight|bias)": r"model.layers.\1.self_attn.\2_proj.\3",
    r"blk\.(\d+)\.attn_output\.(weight|bias)": r"model.layers.\1.self_attn.o_proj.\2",
    r"blk\.(\d+)\.ffn_(gate|up|down)\.(weight|bias)": r"model.layers.\1.mlp.\2_proj.\3",
}
# Fields, and the keys of config.json of a Llama.
KEYS = {
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "context_length": "max_position_embeddings",
    "rope.freq_base": "rope_theta",
}
# Fields that repeat the width of a head, and one that repeats the rows of the table.
WIDTHS, ROWS = ("rope.dimension_count", "attention.value_length"), "vocab_size"
ROTATED = re.compile(r"model\.layers\.\d+\.self_attn\.([qk])_proj\.(weight|bias)")
TABLE, FREQUENCIES = "token_embd.weight", "rope_freqs.weight"
ENDS = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")


class GgufTensors(Mapping[str, np.ndarray]):
    """The tensors of a GGUF file in float32, by the names of transformers, made when looked up.

    llama.cpp pairs neighboring features of a head in rotary positions, transformers the halves; the
    rows of queries and keys are put into the order of transformers.

    Args:
        file: the file.
        heads: numbers of heads of q and of k.
    """

    def __init__(self, file: GgufFile, heads: Mapping[str, int]):
        self.file, self.heads = file, heads
        self._names = {_their_name(name): name for name in file.tensors}
        self.places = {
            new: Place(file.path, "F32", file.shape(name), 0, 0)
            for new, name in self._names.items()
        }

    def __getitem__(self, name: str) -> np.ndarray:
        array = self.file.numbers(self._names[name])
        if match := ROTATED.fullmatch(name):
            rest = array.shape[1:]
            pairs = array.reshape(self.heads[match[1]], -1, 2, *rest)
            array = pairs.swapaxes(1, 2).reshape(-1, *rest)
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def open_gguf(path: Path) -> tuple[GgufTensors, dict[str, Any]]:
    """Reads the metadata of a file.

    Args:
        path: of a Llama in GGUF.

    Returns:
        Its tensors, and what config.json would hold.

    Raises:
        UserError: if the file is damaged or holds another model.
    """
    file = read_gguf(path)
    settings = read_settings(file)
    heads = settings["num_attention_heads"]
    groups = settings.get("num_key_value_heads", heads)
    return GgufTensors(file, {"q": heads, "k": groups}), settings


def read_settings(file: GgufFile) -> dict[str, Any]:
    """Makes the contents of config.json from the metadata of a file.

    Raises:
        UserError: names what the file has that is not known here.
    """
    kind = file.fields.get("general.architecture")
    if kind != "llama":
        raise UserError(
            f"{file.path} holds the architecture {kind}: only llama is read from GGUF files; give "
            "the folder of the model with safetensors"
        )
    if TABLE not in file.tensors:
        raise UserError(f"{file.path} has no tensor {TABLE}: get it again")
    given = {
        name.removeprefix("llama."): value
        for name, value in file.fields.items()
        if name.startswith("llama.")
    }
    settings = {theirs: _short(given.pop(name)) for name, theirs in KEYS.items() if name in given}
    heads, width = settings.get("num_attention_heads"), settings.get("hidden_size")
    if type(heads) is not int or type(width) is not int or heads < 1:
        raise UserError(f"{file.path} has {heads} heads in {width} features: get it again")
    head_dim = settings.get("head_dim", width // heads)
    same = dict.fromkeys(WIDTHS, head_dim) | {ROWS: file.shape(TABLE)[0]}
    _refuse_unknown(file, given, same)
    ends = [file.field(name, int) for name in ENDS]
    return {
        "model_type": "llama",
        "vocab_size": file.shape(TABLE)[0],
        "attention_bias": any(name.endswith("attn_q.bias") for name in file.tensors),
        "mlp_bias": any(name.endswith("ffn_up.bias") for name in file.tensors),
        "eos_token_id": list(dict.fromkeys(end for end in ends if end is not None)) or None,
        **settings,
    }


def _refuse_unknown(file: GgufFile, given: dict[str, Any], same: dict[str, Any]) -> None:
    """Refuses fields that change the model, but not those that repeat what is known."""
    unknown = sorted(
        f"llama.{name} {value!r:.40}"
        for name, value in given.items()
        if value not in (same.get(name, 0), "none") and not is_empty(value)
    )
    if FREQUENCIES in file.tensors:
        unknown.append(f"a table of frequencies ({FREQUENCIES})")
    if unknown:
        raise UserError(
            f"{file.path} has {', '.join(unknown)}, which is not read from GGUF files: give the "
            "folder of the model with safetensors"
        )


def _short(value: Any) -> Any:
    """A number in float32 as the shortest decimal fraction that is equal to it there."""
    return float(str(np.float32(value))) if isinstance(value, float) else value


def _their_name(name: str) -> str:
    for pattern, replacement in NAMES.items():
        if match := re.fullmatch(pattern, name):
            return match.expand(replacement)
    return name
