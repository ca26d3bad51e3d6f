"""Published tokenizers give the ids that transformers and sentencepiece give."""

import gzip
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from published_folders import CONFIG, FOLDERS, MODELS, SENTENCEPIECE_REASON, WHOLE_FILES, write_json

from flax_transformer.data.tokens.published_folder import read_published_tokenizer
from flax_transformer.data.tokens.saved_tokenizer import load_tokenizer
from flax_transformer.data.tokens.special_ids import SpecialIds

REASON = "transformers is not installed: pip install '.[parity]'"
transformers: Any = pytest.importorskip("transformers", reason=REASON)
DATA = Path(__file__).parents[3] / "shared" / "data" / "multi30k"
pytestmark = pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
NUM_LINES = 300  # of each language
NASTY = [
    "",
    " ",
    "  two  blanks ",
    "tab\there\tand\nline",
    "\ufb01ne \u00bd \uff21\u2460\u3000x",  # a ligature, a half, wide letters and a wide space
    "日本語 ünïcode 한국어 Москва العربية हिन्दी",
    "e\u0301a\u0308 c\u0327a\u0327",
    "👩‍👩‍👧 😀😀",
    "\u00a0nbsp\u2028separator\u200bzero\ufeff",
    "<unk> <s> a </s>b <pad>[MASK]x [CLS][SEP] <mask> y<|endoftext|>z",
    "a<mask>b <extra_id_0> z",
    ">>fra<< Hello",
    ">>xxx<<Hello",
    "İstanbul ẞ don't I'll we’re 1,234.56",
    "x" * 300,
]
# Special tokens are text to sentencepiece. Only it composes letters that are written by parts.
PLAIN = [text for text in NASTY if not set(text) & set("<[")]
PARTS = "\uff76\uff9e \u1112\u1161\u11ab \ufb01\u0327 か\u3099"


@pytest.fixture(scope="module")
def lines() -> list[str]:
    if not DATA.is_dir():
        pytest.skip(f"the files of multi30k are not in {DATA}")
    found = []
    for language in ("en", "de", "fr"):
        with gzip.open(DATA / f"train.{language}.gz", "rt", encoding="utf-8") as file:
            found += [next(file).rstrip("\n") for _ in range(NUM_LINES)]
    return [*found, *["日本語の文です。", "Это предложение на русском языке."] * 3]


@pytest.mark.parametrize("kind", FOLDERS)
def test_ids_and_texts_are_those_of_transformers(kind, lines, tmp_path):
    name, make = FOLDERS[kind]
    make(tmp_path, lines)
    theirs = getattr(transformers, name).from_pretrained(tmp_path)
    ours, files = read_published_tokenizer(tmp_path)
    assert sorted(files) == sorted(path.name for path in tmp_path.iterdir())
    texts = [*lines, *NASTY]
    if kind == "pegasus":  # only transformers keeps a space at the end of a text
        texts = [text.strip(" \ufeff") for text in PLAIN + lines]
    ids = ours.encode_batch(texts, marked=True)
    assert ids == [theirs(text)["input_ids"] for text in texts]
    assert ours.encode(lines[0]) == theirs(lines[0], add_special_tokens=False)["input_ids"]
    roles = {role: getattr(theirs, f"{role}_token_id") for role in vars(SpecialIds())}
    assert ours.special == SpecialIds(**roles)
    assert ours.vocab_size == max(theirs.get_vocab().values()) + 1
    # GPT-2 ends and begins a text with the same token, where decoding ends.
    written = [row[row[0] == ours.special.eos :] for row in ids[:99]]
    assert [ours.decode(row) for row in written] == [
        theirs.decode(row, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        for row in written
    ]


@pytest.mark.parametrize("kind", ["bert", "gpt2 begin", "roberta", "t5", "llama"])
def test_a_whole_file_is_read_as_it_is(kind, lines, tmp_path):
    name, make = FOLDERS[kind]
    make(tmp_path, lines)
    theirs = getattr(transformers, name).from_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path / "saved")
    again = getattr(transformers, name).from_pretrained(tmp_path / "saved")
    ours, files = read_published_tokenizer(tmp_path / "saved")
    assert files[0] == "tokenizer.json"
    texts = [*lines[::5], *NASTY]
    ids = ours.encode_batch(texts, marked=True)
    assert ids == [again(text)["input_ids"] for text in texts]
    ours.save(tmp_path / "copy.json")
    copy = load_tokenizer(tmp_path / "copy.json")
    assert copy.encode_batch(texts, marked=True) == ids
    assert (copy.special, copy.special_ids) == (ours.special, ours.special_ids)


@pytest.mark.parametrize("kind", WHOLE_FILES)
def test_every_part_of_a_whole_file_has_its_effect(kind, lines, tmp_path):
    made = WHOLE_FILES[kind](lines)
    made.add_tokens([tokenizers.AddedToken("Straße", single_word=True, lstrip=True)])
    made.enable_padding(length=9)
    made.save(str(tmp_path / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "additional_special_tokens": ["<|user|>"],
        "add_bos_token": False,
    }
    write_json(tmp_path / CONFIG, settings)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = read_published_tokenizer(tmp_path).tokenizer
    more = ["<|user|>Die  Straße, die Straßen<pad>", "``Ça\u00a0va''", "e\u0301te"]
    texts = [*lines[::3], *NASTY, *more]
    ids = ours.encode_batch(texts, marked=True)
    assert ids == [theirs(text, padding=False)["input_ids"] for text in texts]
    assert ours.special == SpecialIds(eos=theirs.eos_token_id, pad=theirs.pad_token_id)
    assert ours.vocab_size == len(theirs)
    decoded = [theirs.decode(row, skip_special_tokens=True) for row in ids[:50]]
    assert [ours.decode(row) for row in ids[:50]] == decoded


def test_the_texts_of_a_translator_have_two_tokenizers(lines, tmp_path):
    name, make = FOLDERS["opus-mt"]
    make(tmp_path, lines)
    theirs = getattr(transformers, name).from_pretrained(tmp_path)
    ours = read_published_tokenizer(tmp_path).tokenizer
    texts = [*lines[::3], *NASTY, PARTS]
    expected = [theirs(text_target=text)["input_ids"] for text in texts]
    assert ours.target.encode_batch(texts, marked=True) == expected
    assert ours.encode_batch(texts, marked=True) != expected
    assert ours.encode(PARTS) == theirs(PARTS, add_special_tokens=False)["input_ids"]
    ours.save(tmp_path / "copy.json")
    copy = load_tokenizer(tmp_path / "copy.json")
    assert copy.target.encode_batch(texts, marked=True) == expected
    assert copy.encode_batch(texts) == ours.encode_batch(texts)


@pytest.mark.parametrize("kind", MODELS)
def test_ids_and_texts_are_those_of_sentencepiece(kind, lines, tmp_path):
    library = pytest.importorskip("sentencepiece", reason=SENTENCEPIECE_REASON)
    MODELS[kind](tmp_path, lines)
    ours, (file,) = read_published_tokenizer(tmp_path)
    theirs = library.SentencePieceProcessor(model_file=str(tmp_path / file))
    texts = [*lines, *PLAIN, "a foo b", "foo"]
    ids = [theirs.encode(text) for text in texts]
    assert ours.encode_batch(texts) == ids
    assert ours.vocab_size == theirs.get_piece_size()
    known = [row for row in ids if theirs.unk_id() not in row]
    assert len(known) > NUM_LINES
    assert [ours.decode(row) for row in known] == [theirs.decode(row) for row in known]
