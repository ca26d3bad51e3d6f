"""Our tokenizers as the files of a published model."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import tokenizers
from tokenizers import AddedToken, processors

from flax_transformer.data.tokens.published_tokenizer import PublishedTokenizer
from flax_transformer.data.tokens.special_tokens import CONFIG, ROLES, WHOLE
from flax_transformer.data.tokens.tokenizer import BOS, EOS, NUM_SPECIAL, PAD, Tokenizer
from flax_transformer.errors import UserError

NAMES = {PAD: "<pad>", BOS: "<s>", EOS: "</s>"}
# Of models that fill gaps. transformers finds all marks in a text if it finds one, so these are
# marks that a text rarely contains.
MASKED_NAMES = {PAD: "[MASK]", BOS: "[CLS]", EOS: "[SEP]"}


class Reading(NamedTuple):
    """How a model reads texts.

    Attributes:
        max_length: tokens of a text, at most.
        has_begin: whether the begin mark precedes a text.
        has_end: whether the end mark follows it.
        has_mask: whether gaps of a text are marked.
        goes_on: whether the model continues texts. The end of the text before then begins a text,
            and shorter texts of a batch are padded on the left.
    """

    max_length: int
    has_begin: bool = False
    has_end: bool = False
    has_mask: bool = False
    goes_on: bool = False


def tokenizer_files(tokenizer: Tokenizer, reading: Reading) -> dict[str, bytes]:
    """Makes the files with which `AutoTokenizer` of transformers gives the same ids.

    A published tokenizer is given back as the files that it was read from.

    Args:
        tokenizer: of the model.
        reading: how the model reads texts, for a tokenizer of ours.

    Returns:
        The contents of each file by its name.

    Raises:
        UserError: if it is a published tokenizer that was imported without its files.
    """
    if isinstance(tokenizer, PublishedTokenizer):
        if not tokenizer.files:
            raise UserError(
                "the workdir lacks the files of its published tokenizer: import the model again"
            )
        return dict(tokenizer.files)
    contents = json.loads(tokenizer.to_json())
    names = _names(contents, reading.has_mask)
    subwords = tokenizers.Tokenizer.from_str(json.dumps(_shifted(contents, names)))
    for number, name in enumerate(names):
        # The space before a gap belongs to the missing token.
        is_mask = reading.has_mask and number == PAD
        subwords.add_tokens([AddedToken(name, special=True, lstrip=is_mask, normalized=False)])
    begin, end = ([names[number]] for number in (BOS, EOS))
    subwords.post_processor = processors.TemplateProcessing(
        single=[*(begin * reading.has_begin), "$A", *(end * reading.has_end)],
        special_tokens=[(names[number], number) for number in (BOS, EOS)],
    )
    settings = _settings(names, special_roles(tokenizer, reading), reading)
    return {
        WHOLE: subwords.to_str(pretty=True).encode(),
        CONFIG: (json.dumps(settings, indent=2, ensure_ascii=False) + "\n").encode(),
    }


def special_roles(tokenizer: Tokenizer, reading: Reading) -> dict[str, int]:
    """Returns the ids of special tokens by their roles in the exported files."""
    if isinstance(tokenizer, PublishedTokenizer):
        ids = {role: getattr(tokenizer.special, role) for role in ROLES}
        return {role: number for role, number in ids.items() if number is not None}
    ids = {"pad": PAD, "bos": EOS if reading.goes_on else BOS, "eos": EOS}
    return ids | ({"mask": PAD} if reading.has_mask else {})


def _names(contents: Mapping[str, Any], has_mask: bool) -> list[str]:
    """Names the special tokens as no subword is named."""
    vocab = contents["model"]["vocab"]
    known = set(vocab) if isinstance(vocab, dict) else {piece for piece, _ in vocab}
    known |= {token["content"] for token in contents["added_tokens"]}
    names = []
    for number in range(NUM_SPECIAL):
        name = (MASKED_NAMES if has_mask else NAMES)[number]
        while name in known:
            name = f"<{name}>"
        names.append(name)
    return names


def _shifted(contents: dict[str, Any], names: list[str]) -> dict[str, Any]:
    """Puts the special tokens before all subwords."""
    model = dict(contents["model"])
    vocab = model["vocab"]
    if isinstance(vocab, dict):
        special = {name: number for number, name in enumerate(names)}
        model["vocab"] = special | {piece: i + NUM_SPECIAL for piece, i in vocab.items()}
    else:
        # The score of the least likely piece decides that of an unknown letter.
        lowest = min(score for _, score in vocab)
        model["vocab"] = [*([name, lowest] for name in names), *vocab]
        if model.get("unk_id") is not None:
            model["unk_id"] += NUM_SPECIAL
    added = [token | {"id": token["id"] + NUM_SPECIAL} for token in contents["added_tokens"]]
    return contents | {"model": model, "added_tokens": added, "post_processor": None}


def _settings(names: list[str], roles: Mapping[str, int], reading: Reading) -> dict[str, Any]:
    """Makes the contents of tokenizer_config.json; a role that is null has no token."""
    named = {f"{role}_token": names[roles[role]] if role in roles else None for role in ROLES}
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **named,
        "model_max_length": reading.max_length,
        # A mark in a text is text, as it is here.
        "split_special_tokens": not reading.has_mask,
        "clean_up_tokenization_spaces": False,
        "padding_side": "left" if reading.goes_on else "right",
        "model_input_names": ["input_ids", "attention_mask"],
    }
