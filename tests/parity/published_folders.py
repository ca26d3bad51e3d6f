"""Folders of tokenizers as they are published, trained on given texts."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

CONFIG = "tokenizer_config.json"
SENTENCEPIECE_REASON = "sentencepiece is not installed: pip install '.[parity]'"
Make = Callable[[Path, Sequence[str]], object]


def write_json(path: Path, contents: object) -> None:
    path.write_text(json.dumps(contents, ensure_ascii=False), encoding="utf-8")


def word_pieces(**settings: object) -> Make:
    """BERT's vocab.txt."""

    def make(folder: Path, texts: Sequence[str]) -> None:
        made = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
        made.normalizer = normalizers.BertNormalizer(lowercase=False)
        made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        trainer = trainers.WordPieceTrainer(
            vocab_size=900, special_tokens=special, show_progress=False
        )
        made.train_from_iterator(texts, trainer)
        pieces = sorted(made.get_vocab().items(), key=lambda item: item[1])
        vocab = "".join(f"{piece}\n" for piece, _ in pieces)
        (folder / "vocab.txt").write_text(vocab, encoding="utf-8")
        write_json(folder / CONFIG, {"tokenizer_class": "BertTokenizer", **settings})

    return make


def byte_level(name: str, special: list[str], **settings: object) -> Make:
    """vocab.json and merges.txt of GPT-2 and its relatives."""

    def make(folder: Path, texts: Sequence[str]) -> None:
        made = tokenizers.Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        made.train_from_iterator(texts, trainer)
        model = json.loads(made.to_str())["model"]
        merges = "".join(f"{left} {right}\n" for left, right in model["merges"])
        write_json(folder / "vocab.json", model["vocab"])
        (folder / "merges.txt").write_text(f"#version: 0.2\n{merges}", encoding="utf-8")
        write_json(folder / CONFIG, {"tokenizer_class": f"{name}Tokenizer", **settings})

    return make


def train_sentencepiece(path: Path, texts: Sequence[str], **options: object) -> None:
    library = pytest.importorskip("sentencepiece", reason=SENTENCEPIECE_REASON)
    sizes = {"vocab_size": 700, "num_threads": 1, "minloglevel": 2, "hard_vocab_limit": False}
    if options.get("model_type") == "bpe":
        del sizes["hard_vocab_limit"]
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_prefix=str(path.with_suffix("")), **sizes, **options
    )
    path.with_suffix(".vocab").unlink()
    path.with_suffix(".model").rename(path)


def sentencepiece(name: str, settings: dict[str, Any] | None = None, **options: object) -> Make:
    """One SentencePiece model and, of a family, its settings."""

    def make(folder: Path, texts: Sequence[str]) -> None:
        train_sentencepiece(folder / name, texts, **options)
        if settings is not None:
            write_json(folder / CONFIG, settings)

    return make


def opus_mt(folder: Path, texts: Sequence[str]) -> None:
    """Two SentencePiece models, and a table that lacks some of their pieces."""
    library = pytest.importorskip("sentencepiece", reason=SENTENCEPIECE_REASON)
    half, pieces = len(texts) // 2, set()
    for name, part in (("source.spm", texts[:half]), ("target.spm", texts[half:])):
        train_sentencepiece(folder / name, part)
        model = library.SentencePieceProcessor(model_file=str(folder / name))
        pieces |= {model.id_to_piece(number) for number in range(3, model.get_piece_size())}
    # Pieces in another order than in the models; every eleventh is left out.
    kept = [piece for number, piece in enumerate(sorted(pieces)) if number % 11]
    names = ["</s>", "<unk>", *kept, ">>fra<<", "<pad>"]
    write_json(folder / "vocab.json", {name: number for number, name in enumerate(names)})
    settings = {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "fr"}
    write_json(folder / CONFIG, settings)


def llama_3(texts: Sequence[str]) -> tokenizers.Tokenizer:
    """Bytes of words that an expression cuts."""
    made = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
    made.normalizer = normalizers.NFC()
    words = tokenizers.Regex(r"\p{L}+| ?\p{N}{1,3}|\s+|[^\s\p{L}\p{N}]+")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    _train(made, texts, trainers.BpeTrainer, initial_alphabet=alphabet)
    marks = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    made.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), marks])
    return made


def gemma(texts: Sequence[str]) -> tokenizers.Tokenizer:
    """Pairs, and bytes of unknown letters."""
    made = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    made.normalizer = normalizers.Replace(" ", "\u2581")
    made.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    made.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    _train(made, texts, trainers.BpeTrainer, more=[f"<0x{byte:02X}>" for byte in range(256)])
    return made


def albert(texts: Sequence[str]) -> tokenizers.Tokenizer:
    """A Unigram model of small letters without accents."""
    made = tokenizers.Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Replace(tokenizers.Regex(" {2,}"), " "),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    made.decoder = decoders.Metaspace(prepend_scheme="always")
    _train(made, texts, trainers.UnigramTrainer, unk_token="<unk>")
    made.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return made


def xlm_roberta(texts: Sequence[str]) -> tokenizers.Tokenizer:
    """A Unigram model with other parts around it."""
    made = albert(texts)
    made.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()])
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    made.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    return made


def _train(
    made: tokenizers.Tokenizer,
    texts: Sequence[str],
    trainer: Any,
    more: Sequence[str] = (),
    **options: object,
) -> None:
    special = ["<s>", "</s>", "<unk>", *more]
    settings = {"vocab_size": 900, "special_tokens": special, "show_progress": False}
    made.train_from_iterator(texts, trainer(**settings, **options))


ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
T5_IDS = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
LLAMA = {
    "model_type": "bpe",
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "remove_extra_whitespaces": False,
}
MASK = {
    "__type": "AddedToken",
    "content": "<mask>",
    "lstrip": True,
    "rstrip": False,
    "normalized": False,
}
# The class of transformers that reads a folder, and what writes it.
FOLDERS: dict[str, tuple[str, Make]] = {
    "bert": ("BertTokenizer", word_pieces()),
    "bert cased": ("BertTokenizer", word_pieces(do_lower_case=False)),
    "bert accents": (
        "BertTokenizer",
        word_pieces(strip_accents=False, tokenize_chinese_chars=False),
    ),
    "gpt2": ("GPT2Tokenizer", byte_level("GPT2", ["<|endoftext|>"])),
    "gpt2 begin": (
        "GPT2Tokenizer",
        byte_level(
            "GPT2", ["<|endoftext|>"], add_bos_token=True, add_prefix_space=True, pad_token="<pad>"
        ),
    ),
    "roberta": ("RobertaTokenizer", byte_level("Roberta", ROBERTA, mask_token=MASK)),
    "bart": ("BartTokenizer", byte_level("Bart", ROBERTA)),
    "t5": (
        "T5Tokenizer",
        sentencepiece("spiece.model", {"tokenizer_class": "T5Tokenizer", "extra_ids": 7}, **T5_IDS),
    ),
    "pegasus": (
        "PegasusTokenizer",
        sentencepiece("spiece.model", {"tokenizer_class": "PegasusTokenizer"}, **T5_IDS),
    ),
    "llama": (
        "LlamaTokenizer",
        sentencepiece(
            "tokenizer.model",
            {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True},
            **LLAMA,
        ),
    ),
    "llama legacy": (
        "LlamaTokenizer",
        sentencepiece(
            "tokenizer.model",
            {
                "tokenizer_class": "LlamaTokenizer",
                "legacy": True,
                "add_bos_token": True,
                "add_eos_token": True,
            },
            **LLAMA,
        ),
    ),
    "opus-mt": ("MarianTokenizer", opus_mt),
}
# SentencePiece models of no family.
MODELS: dict[str, Make] = {
    "unigram": sentencepiece("spiece.model"),
    "unigram bytes": sentencepiece(
        "spiece.model", byte_fallback=True, user_defined_symbols=["<sep>", "foo"]
    ),
    "bpe": sentencepiece("tokenizer.model", model_type="bpe", user_defined_symbols=["foo"]),
    "bpe plain": sentencepiece("tokenizer.model", add_dummy_prefix=False, **LLAMA),
}
# What a tokenizer.json may hold.
WHOLE_FILES: dict[str, Callable[[Sequence[str]], tokenizers.Tokenizer]] = {
    "llama 3": llama_3,
    "gemma": gemma,
    "albert": albert,
    "xlm-roberta": xlm_roberta,
}
