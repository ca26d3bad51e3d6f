"""Special tokens and settings that stand beside a published tokenizer, in its JSON files."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
from tokenizers import AddedToken

from flax_transformer.data.files.limited_files import read_json_object
from flax_transformer.data.tokens.published_tokenizer import reported
from flax_transformer.data.tokens.special_ids import SpecialIds
from flax_transformer.errors import UserError

WHOLE, CONFIG, TOKENS_MAP, ADDED = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
MODEL_CONFIG = "config.json"
ROLES = tuple(field.name for field in dataclasses.fields(SpecialIds))
_BERT = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
_ROBERTA = {
    "bos": "<s>",
    "eos": "</s>",
    "sep": "</s>",
    "cls": "<s>",
    "unk": "<unk>",
    "pad": "<pad>",
    "mask": "<mask>",
}
_T5 = {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"}
# Classes of tokenizers that have no tokens of their own.
GENERIC = ("PreTrainedTokenizerFast", "TokenizersBackend")
# Tokens that a family has where its files do not name them.
DEFAULTS: dict[str, dict[str, str]] = {
    "bert": _BERT,
    "distilbert": _BERT,
    "electra": _BERT,
    "mobilebert": _BERT,
    "roberta": _ROBERTA,
    "bart": _ROBERTA,
    "gpt2": dict.fromkeys(("unk", "bos", "eos"), "<|endoftext|>"),
    "t5": _T5,
    "mt5": _T5,
    "marian": _T5,
    "pegasus": {**_T5, "mask": "<mask_2>"},
    "llama": {"unk": "<unk>", "bos": "<s>", "eos": "</s>"},
    "gemma": {
        "unk": "<unk>",
        "bos": "<bos>",
        "eos": "<eos>",
        "pad": "<pad>",
        "mask": "<mask>",
    },
}


class SpecialTokens(NamedTuple):
    """What the JSON files of a folder say about its tokenizer.

    Attributes:
        family: of the model, such as "bert"; "" if the files do not say it.
        files: names of the files that were read.
        settings: of tokenizer_config.json.
        named: tokens by role, such as "pad".
        extra: special tokens without a role.
        numbered: added tokens by id.
    """

    family: str
    files: list[str]
    settings: dict[str, Any]
    named: dict[str, AddedToken]
    extra: list[AddedToken]
    numbered: dict[int, AddedToken]

    @classmethod
    def read(cls, folder: Path) -> "SpecialTokens":
        """Reads those of the JSON files that are in a folder.

        Raises:
            UserError: if a file is damaged.
        """
        found = {
            name: read_json_object(folder / name)
            for name in (CONFIG, TOKENS_MAP, ADDED, MODEL_CONFIG)
            if (folder / name).exists()
        }
        settings = found.get(CONFIG, {})
        where = str(folder / CONFIG)
        family = _family(settings, found.get(MODEL_CONFIG, {}))
        is_numbered = "added_tokens_decoder" in settings
        # An old file beside a complete list is a copy that may be out of date.
        given = settings if is_numbered else {**settings, **found.get(TOKENS_MAP, {})}
        tokens = {role: given[key] for role in ROLES if (key := f"{role}_token") in given}
        is_generic = settings.get("tokenizer_class") in GENERIC
        defaults = {**({} if is_generic else DEFAULTS.get(family, {})), **tokens}
        named = {role: _token(t, where) for role, t in defaults.items() if t is not None}
        keys = "additional_special_tokens", "extra_special_tokens"
        extra = [t for key in keys for t in _listed(given.get(key), where)]
        special = {token.content for token in (*named.values(), *extra)}
        numbered = (
            _numbered(settings["added_tokens_decoder"], where)
            if is_numbered
            else _old_numbered(found.get(ADDED, {}), special, str(folder / ADDED))
        )
        files = [name for name in found if name != MODEL_CONFIG]
        return cls(family, files, settings, named, extra, numbered)

    def check_family(self, where: str, known: Iterable[str]) -> None:
        """Rejects a family whose files of this kind are read in another way, or none.

        Raises:
            UserError: names the families that are known.
        """
        if self.family not in known:
            names = ", ".join(sorted(filter(None, known)))
            raise UserError(
                f"{where} is of the family '{self.family}', not of one of {names}: give a folder "
                f"with a tokenizer.json, or the right tokenizer_class in {CONFIG}"
            )

    @staticmethod
    def of_texts(texts: Mapping[str, str]) -> dict[str, AddedToken]:
        """Makes tokens by role of their texts."""
        return {role: _token(text, "a tokenizer") for role, text in texts.items()}

    def flag(self, name: str, default: bool | None) -> bool | None:
        """Returns a setting that is true, false or, where it is not given, the default.

        Raises:
            UserError: if it is anything else.
        """
        value = self.settings.get(name, default)
        if value is not None and not isinstance(value, bool):
            raise UserError(f"{CONFIG} has {name} {value!r:.40}: give true or false")
        return value

    def add_to(self, subwords: tokenizers.Tokenizer, where: str) -> SpecialIds:
        """Adds the tokens that a tokenizer does not have yet, and finds the special ids.

        Args:
            subwords: the tokenizer, which is changed.
            where: its file, for error messages.

        Raises:
            UserError: if a token would get another id than the files say.
        """
        numbered = dict(sorted(self.numbered.items()))
        with reported(where):
            for number, token in numbered.items():
                subwords.add_tokens([token])
                if (now := subwords.token_to_id(token.content)) != number:
                    raise UserError(
                        f"{where} has no place for {token.content!r:.40} with the id {number}, "
                        f"only {now}: restore the files of the tokenizer"
                    )
            listed = {token.content for token in numbered.values()}
            known = listed | {
                token.content for token in subwords.get_added_tokens_decoder().values()
            }
            for token in (*self.named.values(), *self.extra):
                if token.content not in known:
                    subwords.add_tokens([token])
        ids = {role: subwords.token_to_id(token.content) for role, token in self.named.items()}
        return SpecialIds(**ids)


def _family(settings: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """Names the family by the class of its tokenizer, or by the type of its model."""
    name = settings.get("tokenizer_class") or config.get("tokenizer_class")
    if isinstance(name, str) and name not in GENERIC:
        return name.removesuffix("Fast").removesuffix("Tokenizer").lower()
    name = config.get("model_type")
    return name if isinstance(name, str) else ""


def _token(given: object, where: str) -> AddedToken:
    if isinstance(given, str) and given:
        return AddedToken(given, special=True, normalized=False)
    if isinstance(given, dict) and isinstance(given.get("content"), str) and given["content"]:
        flags = {
            name: given[name]
            for name in ("single_word", "lstrip", "rstrip", "normalized", "special")
            if isinstance(given.get(name), bool)
        }
        return AddedToken(given["content"], **{"special": True, "normalized": False, **flags})
    raise UserError(f"{where} has a token {given!r:.60}: give a text, or an object with content")


def _listed(given: object, where: str) -> list[AddedToken]:
    if given is None:
        return []
    tokens: Iterable[object] = given.values() if isinstance(given, dict) else ()
    if isinstance(given, list):
        tokens = given
    elif not isinstance(given, dict):
        raise UserError(f"{where} has special tokens {given!r:.60}: give a list")
    return [_token(token, where) for token in tokens]


def _numbered(given: object, where: str) -> dict[int, AddedToken]:
    if not isinstance(given, dict) or not all(map(str.isdecimal, given)):
        raise UserError(f"{where} has added_tokens_decoder {given!r:.60}: give tokens by their ids")
    return {int(number): _token(token, where) for number, token in given.items()}


def _old_numbered(given: Mapping[str, Any], special: set[str], where: str) -> dict[int, AddedToken]:
    """Tokens of added_tokens.json; one that is not special is searched in the normalized text."""
    for text, number in given.items():
        if not text or type(number) is not int or number < 0:
            raise UserError(f"{where} gives {text!r:.40} the id {number!r:.40}: give a number")
    return {
        number: AddedToken(text, special=text in special, normalized=text not in special)
        for text, number in given.items()
    }
