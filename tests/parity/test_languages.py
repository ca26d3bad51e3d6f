"""Translators of several languages: the ids and the tokens of transformers for any pair."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from published_cases import CASES
from worded_models import published, torch, transformers

import flax_transformer as ft
from flax_transformer.cli import main
from flax_transformer.data.tokens.chosen_languages import choose_languages
from flax_transformer.data.tokens.published_folder import read_published_tokenizer
from flax_transformer.data.tokens.saved_tokenizer import load_tokenizer
from flax_transformer.errors import UserError

pytestmark = pytest.mark.usefixtures("quickly_compiled")

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnop"]
LANGUAGES = ["eng_Latn", "fra_Latn", "zul_Latn"]
TEXTS = ["bad cafe", "old bean", "dim lamp"]  # of one length, from which our limit counts
LIMIT = 17  # tokens of an output


def nllb(folder: Path, **options: Any) -> Any:
    made = transformers.NllbTokenizer(
        vocab={piece: number for number, piece in enumerate(PIECES)},
        merges=[],
        additional_special_tokens=LANGUAGES,
        src_lang="eng_Latn",
        tgt_lang="fra_Latn",
        **options,
    )
    made.save_pretrained(folder)
    return made


def write_translator(folder: Path) -> Any:
    """Writes a small NLLB; returns that of transformers with its tokenizer."""
    tokenizer, case = nllb(folder), CASES["m2m_100"]
    torch.manual_seed(16)  # whose outputs depend on both languages
    kind = getattr(transformers, case.architecture)
    model = kind(kind.config_class(**case.settings | {"vocab_size": len(tokenizer)})).eval()
    for _, tensor in model.named_parameters():
        torch.nn.init.normal_(tensor, std=0.2)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    model.generation_config = transformers.GenerationConfig(**ids, bad_words_ids=[[1]])
    model.save_pretrained(folder)
    return model, tokenizer


# The language is before a text, and in older tokenizers after its end mark.
@pytest.mark.parametrize("older", [False, True])
def test_texts_have_the_marks_of_their_languages(older, tmp_path):
    theirs = nllb(tmp_path, legacy_behaviour=older)
    ours = read_published_tokenizer(tmp_path).tokenizer
    for source, target in ((None, None), ("zul_Latn", None), ("fra_Latn", "zul_Latn")):
        theirs.src_lang = source or "eng_Latn"
        made = choose_languages(ours, source, target)
        made.save(tmp_path / "saved.json")
        for read in (made, load_tokenizer(tmp_path / "saved.json")):
            found = [read.encode(text, marked=True) for text in TEXTS]
            assert found == theirs(TEXTS)["input_ids"]
            theirs.tgt_lang = target or theirs.src_lang
            found = [read.target.encode(text, marked=True) for text in TEXTS]
            assert found == theirs(text_target=TEXTS)["input_ids"]
            assert read.target.decode(found[0]) == TEXTS[0]


def test_a_translator_writes_the_language_that_is_asked_for(tmp_path, capsys, unchecked_types):
    model, tokenizer = write_translator(tmp_path / "in")
    main(
        [
            *("import", str(tmp_path / "in"), "--workdir", str(tmp_path / "run")),
            *("--source-language", "zul_Latn", "--target-language", "fra_Latn"),
        ]
    )
    translator: Any = ft.load(tmp_path / "run")
    expected = generated(model, tokenizer, "zul_Latn", "fra_Latn")
    num_read = len(translator.tokenizer.encode(TEXTS[0], marked=True))
    decoding = dataclasses.replace(translator.decoding, max_extra_length=LIMIT - num_read)
    assert translator.translate(TEXTS, decoding) == expected
    # An export keeps them.
    ft.interchange.export_run(tmp_path / "run", tmp_path / "out")
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    exported = transformers.M2M100ForConditionalGeneration.from_pretrained(tmp_path / "out")
    ids = exported.generate(**again(TEXTS, return_tensors="pt"), max_new_tokens=LIMIT)
    assert again.batch_decode(ids, skip_special_tokens=True) == expected
    # Both languages matter.
    assert generated(model, tokenizer, "eng_Latn", "fra_Latn") != expected
    assert generated(model, tokenizer, "zul_Latn", "zul_Latn") != expected


def generated(model: Any, tokenizer: Any, source: str, target: str) -> list[str]:
    """What transformers writes."""
    tokenizer.src_lang = source
    forced = tokenizer.convert_tokens_to_ids(target)
    inputs = tokenizer(TEXTS, return_tensors="pt")
    with torch.no_grad():
        ids = model.generate(**inputs, forced_bos_token_id=forced, max_new_tokens=LIMIT)
    return tokenizer.batch_decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (
            None,
            "fra_Latin",
            "unknown --target-language 'fra_Latin': did you mean 'fra_Latn'? Known: eng_Latn, "
            "fra_Latn, zul_Latn",
        ),
        ("bad", None, "unknown --source-language 'bad'; known: eng_Latn, fra_Latn"),
    ],
)
def test_an_unknown_language_is_reported_in_one_line(source, target, message, tmp_path):
    nllb(tmp_path)
    tokenizer = read_published_tokenizer(tmp_path).tokenizer
    with pytest.raises(UserError) as error:
        choose_languages(tokenizer, source, target)
    assert str(error.value).startswith(message)


def test_models_without_languages_say_so(tmp_path):
    published(tmp_path / "pegasus", "pegasus", "$A </s>")
    published(tmp_path / "gpt2", "gpt2", "$A")
    for name, message in (
        ("pegasus", "--target-language fra_Latn: the tokenizer has no languages: leave it out"),
        ("gpt2", "a gpt2 model does not translate: leave fra_Latn out"),
    ):
        with pytest.raises(UserError, match=message):
            ft.from_pretrained(tmp_path / name, target_language="fra_Latn")
