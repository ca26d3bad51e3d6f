"""Folders of published tokenizers: which files are read, what is refused, and the marks."""

import json
import random
import re
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import tokenizers
from handmade_model import PIECES, model
from tokenizers import models, pre_tokenizers

from flax_transformer.data.files.limited_files import MAX_BYTES
from flax_transformer.data.tokens.opus_mt_tokenizer import OpusTokenizer
from flax_transformer.data.tokens.published_folder import read_published_tokenizer
from flax_transformer.data.tokens.published_tokenizer import OfModel, PublishedTokenizer
from flax_transformer.data.tokens.saved_tokenizer import load_tokenizer
from flax_transformer.data.tokens.special_ids import SpecialIds
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.tasks.masked_language_modeling.masking import mask_tokens

CONFIG = "tokenizer_config.json"
BERT = "[PAD]\nhouse\n[UNK]\n[CLS]\nthe\n##s\n[SEP]\n.\n[MASK]\n"
WORDS = {"<pad>": 3, "two": 0, "</s>": 1, "six": 4, "?": 2}
TEXTS = ["the houses .", "two six</s>two", "", "日本 é"]


def whole_file() -> str:
    made = tokenizers.Tokenizer(models.WordLevel(WORDS, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.add_special_tokens(["</s>"])
    made.enable_truncation(2)
    return made.to_str()


FOLDERS: dict[str, dict[str, Any]] = {
    "bert": {"vocab.txt": BERT, CONFIG: {"tokenizer_class": "BertTokenizer"}},
    "gpt2": {
        "vocab.json": {"a": 5, "b": 2, "ab": 0, "<|endoftext|>": 7},
        "merges.txt": "#version: 0.2\na b\n",
        "config.json": {"model_type": "gpt2"},
    },
    "whole": {
        "tokenizer.json": whole_file(),
        "special_tokens_map.json": {"eos_token": "</s>", "pad_token": {"content": "<pad>"}},
        "added_tokens.json": {"<new>": 5},
    },
    "t5": {"spiece.model": model(), CONFIG: {"tokenizer_class": "T5Tokenizer", "extra_ids": 2}},
    "opus-mt": {
        "source.spm": model(),
        "target.spm": model(PIECES[:-1]),
        "vocab.json": {"</s>": 0, "<unk>": 1, "\u2581two": 5, "t": 3, "o": 4, "<pad>": 6, "é": 2},
    },
}


@pytest.fixture
def write(tmp_path):
    """Writes the files of a folder."""

    def write(files: dict[str, Any], folder: str = "model") -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for name, contents in files.items():
            if isinstance(contents, dict):
                contents = json.dumps(contents)
            data = contents if isinstance(contents, bytes) else contents.encode()
            (tmp_path / folder / name).write_bytes(data)
        return tmp_path / folder

    return write


@pytest.mark.parametrize("kind", FOLDERS)
def test_the_files_are_named_and_a_copy_reads_as_the_folder_does(kind, write):
    folder = write(FOLDERS[kind])
    tokenizer, files = read_published_tokenizer(folder)
    assert sorted(files) == sorted(set(FOLDERS[kind]) - {"config.json"})
    tokenizer.save(folder / "copy")
    copy = load_tokenizer(folder / "copy")
    assert type(copy) is type(tokenizer)
    assert copy.encode_batch(TEXTS, marked=True) == tokenizer.encode_batch(TEXTS, marked=True)
    assert copy.target.encode_batch(TEXTS) == tokenizer.target.encode_batch(TEXTS)
    assert (copy.special, copy.special_ids) == (tokenizer.special, tokenizer.special_ids)
    assert copy.vocab_size == tokenizer.vocab_size


def test_ids_are_those_of_the_files(write):
    bert = read_published_tokenizer(write(FOLDERS["bert"])).tokenizer
    assert bert.encode("The houses. [MASK]") == [4, 1, 5, 7, 8]
    assert bert.encode("The houses. [MASK]", marked=True) == [3, 4, 1, 5, 7, 8, 6]
    assert bert.special == SpecialIds(pad=0, unk=2, cls=3, sep=6, mask=8)
    assert (bert.bos_id, bert.eos_id, bert.mask_id, bert.pad_id) == (3, 6, 8, 0)
    assert bert.decode([3, 4, 1, 5, 7, 6]) == "the houses."
    assert bert.names([3, 5, 8]) == ["[CLS]", "##s", "[MASK]"]
    gpt2 = read_published_tokenizer(write(FOLDERS["gpt2"], "gpt2")).tokenizer
    assert gpt2.encode("abb<|endoftext|>", marked=True) == [0, 2, 7]
    assert gpt2.special == SpecialIds(bos=7, eos=7, unk=7)
    assert (gpt2.vocab_size, gpt2.pad_id, gpt2.special.pad) == (8, 7, None)
    assert gpt2.decode([0, 2, 7, 5]) == "abb"
    with pytest.raises(UserError, match=r"^the tokenizer has no mask_token: name one in"):
        _ = gpt2.mask_id
    whole = read_published_tokenizer(write(FOLDERS["whole"], "whole")).tokenizer
    assert whole.encode("two six two</s> <new> ten") == [0, 4, 0, 1, 5, 2]
    assert (whole.vocab_size, whole.special) == (6, SpecialIds(eos=1, pad=3))
    t5 = read_published_tokenizer(write(FOLDERS["t5"], "t5")).tokenizer
    assert t5.encode("two<extra_id_0>two<extra_id_1>", marked=True) == [3, 10, 3, 9, 2]
    assert t5.special == SpecialIds(pad=11, bos=1, eos=2, unk=0)


@pytest.mark.parametrize("kind", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test_a_class_of_any_family_adds_no_tokens(write, kind):
    """So does Llama 3, which has no unknown token."""
    files = {"tokenizer.json": whole_file(), "config.json": {"model_type": "llama"}}
    of_any = {**files, CONFIG: {"tokenizer_class": kind, "eos_token": "</s>"}}
    assert read_published_tokenizer(write(of_any)).tokenizer.vocab_size == len(WORDS)
    named = read_published_tokenizer(write(files, "named")).tokenizer
    assert named.vocab_size == len(WORDS) + 2  # <unk> and <s>


def test_a_translator_reads_pieces_by_its_table(write):
    tokenizer = read_published_tokenizer(write(FOLDERS["opus-mt"])).tokenizer
    assert isinstance(tokenizer, OpusTokenizer)
    # No piece of the models is é, which has an id; the space and the dash have none.
    assert tokenizer.encode("two-to é") == [5, 1, 3, 4, 1, 2]
    assert tokenizer.encode("two-", marked=True) == [5, 1, 0]
    assert tokenizer.target.encode("two</s>") == [5, 0]
    assert tokenizer.decode([5, 5, 3, 0, 4]) == "two twot"
    assert tokenizer.target.target is tokenizer.target


def test_the_order_of_the_kinds_is_fixed(write):
    both = {**FOLDERS["bert"], "tokenizer.json": whole_file(), CONFIG: {"eos_token": "</s>"}}
    assert read_published_tokenizer(write(both)).files == ["tokenizer.json", CONFIG]


def test_a_missing_file_is_named(write):
    folder = write({"vocab.json": {"a": 0}})
    message = f"{folder} has no tokenizer: it needs tokenizer.json or source.spm + target.spm + "
    with pytest.raises(UserError, match=rf"^{re.escape(message)}vocab\.json or vocab\.json \+"):
        read_published_tokenizer(folder)
    with pytest.raises(UserError, match="is not a folder: give the folder"):
        read_published_tokenizer(folder / "none")


GOOD_BERT = FOLDERS["bert"]["vocab.txt"]


@pytest.mark.parametrize(
    ("files", "mistake"),
    [
        ({"tokenizer.json": "{"}, "tokenizer.json is not a tokenizer (EOF"),
        ({"tokenizer.json": b"\xff"}, "tokenizer.json is not UTF-8 (byte 0): restore the file"),
        (
            {"tokenizer.json": whole_file(), CONFIG: "[1]"},
            "holds '[1]' instead of a JSON",
        ),
        ({"tokenizer.json": whole_file(), CONFIG: {"eos_token": 5}}, "has a token 5: give a text"),
        (
            {"tokenizer.json": whole_file(), CONFIG: {"added_tokens_decoder": {"9": "<new>"}}},
            "has no place for '<new>' with the id 9, only 5",
        ),
        (
            {"tokenizer.json": whole_file(), CONFIG: {"added_tokens_decoder": {"x": "<new>"}}},
            "give tokens by their ids",
        ),
        (
            {"tokenizer.json": whole_file(), "added_tokens.json": {"<new>": "5"}},
            "gives '<new>' the id '5': give a number",
        ),
        ({"vocab.txt": "two\n"}, "vocab.txt has no line [UNK]: restore the file"),
        (
            {"vocab.txt": BERT, CONFIG: {"tokenizer_class": "XLMTokenizer"}},
            "is of the family 'xlm', not of one of bert, distilbert,",
        ),
        ({"vocab.txt": BERT, CONFIG: {"do_lower_case": 1}}, "has do_lower_case 1: give true"),
        ({**FOLDERS["gpt2"], "merges.txt": "a b c\n"}, "merges.txt line 1 is not two pieces"),
        ({**FOLDERS["gpt2"], "merges.txt": "a z\n"}, "merges.txt is not a tokenizer ("),
        ({**FOLDERS["gpt2"], "vocab.json": {"a": 1.5}}, "vocab.json gives 'a' the id 1.5"),
        ({**FOLDERS["gpt2"], "vocab.json": {"a": 1, "b": 1}}, "two pieces the same id"),
        (
            {"spiece.model": model(), CONFIG: {"tokenizer_class": "MBartTokenizer"}},
            "is of the family 'mbart', not of one of gemma, llama, mt5, pegasus, t5",
        ),
        ({**FOLDERS["t5"], CONFIG: {"tokenizer_class": "T5Tokenizer", "extra_ids": -1}}, "-1"),
        ({**FOLDERS["opus-mt"], "vocab.json": {"a": 0}}, "vocab.json has no id for <unk>"),
        ({**FOLDERS["gpt2"], "vocab.json": {"a": 2**30, "b": 0, "ab": 1}}, "has 1,073,741,82"),
    ],
)
def test_a_damaged_folder_is_reported_in_one_line(files, mistake, write):
    with pytest.raises(UserError, match=re.escape(mistake)) as raised:
        read_published_tokenizer(write(files))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["tokenizer.json", "spiece.model", "vocab.txt"])
def test_a_huge_file_is_refused(name, write):
    folder = write({})
    with (folder / name).open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(UserError, match=f"{name} has more than 67,108,864 bytes"):
        read_published_tokenizer(folder)


def test_no_path_in_a_file_is_followed(write, monkeypatch):
    secret = write({"secret": whole_file()}, "elsewhere") / "secret"
    paths = dict.fromkeys(["tokenizer_file", "vocab_file", "name_or_path"], str(secret))
    folder = write({**FOLDERS["bert"], CONFIG: {**paths, "auto_map": "code.py"}})
    opened, real = [], Path.open
    monkeypatch.setattr(Path, "open", lambda path, *mode: opened.append(path) or real(path, *mode))
    assert read_published_tokenizer(folder).tokenizer.encode("house") == [1]
    assert {path.name for path in opened} == {"vocab.txt", CONFIG}
    assert {path.parent for path in opened} == {folder}


@pytest.mark.parametrize("kind", FOLDERS)
def test_damage_gives_one_line_or_a_tokenizer(kind, write):
    rng, messages = random.Random(kind), []
    for _ in range(60):
        name = rng.choice(sorted(FOLDERS[kind]))
        data = bytearray((write(FOLDERS[kind]) / name).read_bytes())
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        else:
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        folder = write({name: bytes(data)})
        try:
            tokenizer = read_published_tokenizer(folder).tokenizer
            rows = tokenizer.encode_batch(TEXTS, marked=True)
        except UserError as error:
            messages.append(str(error))
            continue
        assert all(0 <= number < tokenizer.vocab_size for row in rows for number in row)
        assert all(isinstance(tokenizer.decode(row), str) for row in rows)
    assert messages
    assert all(len(message) < 600 for message in messages)


@pytest.mark.parametrize(
    "contents", ['{"kind": "none"}', '{"kind": "published"}', '{"kind": "opus_mt", "sides": [1]}']
)
def test_a_damaged_file_of_a_workdir_is_refused(contents, tmp_path):
    (tmp_path / "tokenizer.json").write_text(contents)
    with pytest.raises(UserError, match=r"tokenizer\.json is not a tokenizer \("):
        load_tokenizer(tmp_path / "tokenizer.json")


def test_our_own_files_are_read_as_before(tmp_path):
    own = Tokenizer.train(TEXTS, vocab_size=270)
    own.save(tmp_path / "tokenizer.json")
    read = load_tokenizer(tmp_path / "tokenizer.json")
    assert type(read) is Tokenizer
    assert read.encode_batch(TEXTS, marked=True) == [[1, *own.encode(text), 2] for text in TEXTS]
    assert read.special == SpecialIds(pad=0, bos=1, eos=2, mask=0)
    assert (read.special_ids, read.never_written) == ([0, 1, 2], [0, 1])
    assert read.encode_prompt("") == [2]


def test_texts_have_the_published_marks(write):
    bert = read_published_tokenizer(write(FOLDERS["bert"])).tokenizer
    text = TokenizedText.encode(bert, ["house", ""])
    assert (text.tokens.tolist(), text.lengths.tolist()) == ([3, 1, 6, 3, 6], [3, 2])


@pytest.mark.parametrize("kind", ["t5", "opus-mt"])
def test_a_decoder_may_begin_with_padding(kind, write, tmp_path):
    tokenizer = read_published_tokenizer(write(FOLDERS[kind])).tokenizer
    model = OfModel(101, begin=tokenizer.pad_id, forced=(7,), never_written=(0, 5))
    begun = tokenizer.of_model(model)
    begun.save(tmp_path / "tokenizer.json")
    for read in (begun, load_tokenizer(tmp_path / "tokenizer.json")):
        assert read.bos_id == tokenizer.pad_id != tokenizer.special.bos
        assert read.start_ids == [tokenizer.pad_id, 7]
        assert (read.vocab_size, read.never_written) == (101, [0, 5])
        assert set(read.special_ids) >= set(range(tokenizer.vocab_size, 101))
        assert read.encode_batch(TEXTS, marked=True) == tokenizer.encode_batch(TEXTS, marked=True)


def test_a_prompt_has_a_begin_but_no_end():
    words = tokenizers.Tokenizer(models.WordLevel({"two": 0, "<s>": 1, "</s>": 2}, unk_token="two"))
    words.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    tokenizer = PublishedTokenizer(words, SpecialIds(bos=1, eos=2))
    assert tokenizer.encode_prompt("two") == [1, 0]
    assert (tokenizer.encode_prompt(""), tokenizer.never_written) == ([1], [])
    without = tokenizers.Tokenizer(words.model)
    assert PublishedTokenizer(without, SpecialIds(eos=2)).encode_prompt("") == [2]


def test_masks_hide_no_special_token(write):
    bert = read_published_tokenizer(write(FOLDERS["bert"])).tokenizer
    tokens = np.tile(np.arange(bert.vocab_size, dtype=np.int32), (997, 1))
    hide = jax.jit(mask_tokens, static_argnums=(2, 3))
    hidden, is_chosen = hide(jax.random.key(0), tokens, bert, 0.5)
    special, text = [0, 2, 3, 6, 8], [1, 4, 5, 7]
    assert bert.special_ids == special
    assert not np.asarray(is_chosen)[:, special].any()
    assert set(np.asarray(hidden)[np.asarray(is_chosen)].tolist()) == {bert.mask_id, *text}
    assert set(np.asarray(hidden)[:, special].ravel().tolist()) == set(special)
