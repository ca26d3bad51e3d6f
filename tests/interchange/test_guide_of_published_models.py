"""Runs the blocks of the guide that are marked as tested, from top to bottom, on small folders."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest
import tokenizers
from published_cases import VOCAB
from small_folders import write_folder
from tokenizers import decoders, models, pre_tokenizers, processors

import flax_transformer as ft
from flax_transformer.cli import main

pytestmark = pytest.mark.usefixtures("quickly_compiled", "unchecked_types")

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "published_models.md"
SPECIAL = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}


def write_published(folder: Path, case: str) -> None:
    """Writes what a published folder has: a model, a tokenizer of words, and a search."""
    write_folder(case, folder)
    words = [f"w{number}" for number in range(VOCAB - len(SPECIAL))]
    vocab = {word: number for number, word in enumerate([*SPECIAL.values(), *words])}
    made = tokenizers.Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(list(SPECIAL.values()))
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    made.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **SPECIAL}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    search = {"num_beams": 2, "max_new_tokens": 9, "decoder_start_token_id": 0, "pad_token_id": 0}
    (folder / "generation_config.json").write_text(json.dumps(search | {"eos_token_id": 1}))


def marked_blocks() -> list[tuple[str, str]]:
    """The language and the text of each block; commands have no language."""
    text = GUIDE.read_text("utf-8")
    return re.findall(r"<!-- tested -->\n```(\w*)\n(.*?)```", text, re.S)


def test_the_guide_loads_uses_trains_and_exports(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_published(tmp_path / "opus-mt-en-de", "marian")
    write_published(tmp_path / "gpt2", "gpt2")
    for name in ("own.en", "own.de"):
        Path(name).write_text("".join(f"w{i} w{i + 1}\n" for i in range(30)))
    names: dict[str, Any] = {"ft": ft, "jnp": jnp}
    blocks = marked_blocks()
    for language, text in blocks:
        if language == "python":
            exec(re.sub(r"num_steps=\d+", "num_steps=2", text), names)
            continue
        for command in text.replace("\\\n", " ").splitlines():
            program, *arguments = shlex.split(command)
            assert program == "flax-transformer"
            main(arguments)
    assert {language for language, _ in blocks} == {"python", ""}
    assert names["logits"].shape == (1, 3, VOCAB)
    assert (tmp_path / "page.html").is_file()
    assert ft.interchange.parameters("out")[0] == names["config"]
    said = capsys.readouterr().out
    assert "marian: " in said
    assert "runs/opus" in said
