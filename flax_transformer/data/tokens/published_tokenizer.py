"""Tokenizer of a published model: its ids stay as they are."""

import base64
import contextlib
import copy
import dataclasses
import functools
import itertools
import json
import operator
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, SupportsIndex

import tokenizers
from tokenizers import models

from flax_transformer.data.tokens.chat_template import render_chats
from flax_transformer.data.tokens.language_marks import language_id, with_language
from flax_transformer.data.tokens.special_ids import SpecialIds
from flax_transformer.data.tokens.tokenizer import MAX_VOCAB_SIZE, FlatIds, Tokenizer
from flax_transformer.errors import UserError


@dataclasses.dataclass(frozen=True)
class OfModel:
    """What the files of a model say about ids and conversations.

    Attributes:
        num_rows: rows of the model's table; 0 for as many as the tokenizer has.
        begin: id with which its decoder begins, such as that of padding; None for the tokenizer's.
        forced: ids that a translation begins with, such as that of a language.
        target_language: id of the mark of texts that a translator writes; None: as those it reads.
        never_written: ids that the model may not write.
        ends: ids that end what it writes; none for the end mark of the tokenizer.
        chat_template: text of jinja2 that makes a prompt of a conversation; "" without one.
    """

    num_rows: int = 0
    begin: int | None = None
    forced: tuple[int, ...] = ()
    target_language: int | None = None
    never_written: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()
    chat_template: str = ""


class PublishedTokenizer(Tokenizer):
    """Converts text to the ids of a published model, and ids to text.

    A special token that is written in a text becomes its id, as in Hugging Face's transformers,
    unless its settings say `split_special_tokens`.
    `encode_marked` adds the special tokens that the tokenizer's own post-processor adds.

    Args:
        subwords: the tokenizer.
        special: its special ids.
        source: name of its files, for error messages.
        splits_special: whether a special token that is written in a text is text.

    Raises:
        UserError: if it has no tokens or too many.

    Example:
        >>> words = tokenizers.models.WordLevel({"two": 0, "</s>": 1, "?": 2}, unk_token="?")
        >>> tokenizer = PublishedTokenizer(tokenizers.Tokenizer(words), SpecialIds(eos=1))
        >>> tokenizer.encode("two"), tokenizer.eos_id, tokenizer.special.pad
        ([0], 1, None)
    """

    kind: ClassVar = "published"
    """Names the class in a file."""
    model: "OfModel"
    """What the config of its model says."""
    files: Mapping[str, bytes]
    """The files that it was read from, for an export."""

    def __init__(
        self,
        subwords: tokenizers.Tokenizer,
        special: SpecialIds,
        source: str = "the tokenizer",
        *,
        splits_special: bool = False,
    ):
        subwords.no_padding()
        subwords.no_truncation()
        subwords.encode_special_tokens = splits_special
        if isinstance(subwords.model, models.BPE):
            subwords.model.dropout = None
        self.model, self.files = OfModel(), {}
        self._take(subwords, special, first_id=0)
        added = subwords.get_added_tokens_decoder().items()
        self._special_ids |= {number for number, token in added if token.special}
        if not 1 <= self.vocab_size <= MAX_VOCAB_SIZE:
            raise UserError(
                f"{source} has {self.vocab_size:,} ids: give a tokenizer with 1 to "
                f"{MAX_VOCAB_SIZE:,}"
            )

    def encode_marked(self, texts: Sequence[str], *, begin: bool = True) -> FlatIds:
        """Returns the ids of texts, with the special tokens of the published post-processor.

        Args:
            texts: any texts.
            begin: not used, as the post-processor knows whether a text has a begin mark.
        """
        del begin
        return self._encode(texts, add_special_tokens=True)

    def encode_prompt(self, text: str) -> list[int]:
        """Returns the ids of a text that a model continues, with the special tokens before it."""
        ids = self.encode(text, marked=True)
        # A model continues what has not ended.
        is_ended = bool(ids) and ids[-1] in (self.special.eos, self.special.sep)
        return ids[: len(ids) - is_ended] or [self.special.need("bos", "eos")]

    def encode_chats(self, conversations: Sequence[Sequence[Mapping[str, Any]]]) -> list[list[int]]:
        """Returns the ids of conversations, each with the beginning of an answer.

        Special tokens are only those that the chat template writes.

        Args:
            conversations: lists of messages, each with a role and a content.

        Raises:
            UserError: see `render_chats`; or if the model has no template.
        """
        if not self.model.chat_template:
            raise UserError("the model has no chat template: continue texts without --chat")
        given = {role: getattr(self.special, role) for role in vars(self.special)}
        tokens = {
            f"{role}_token": self._subwords.id_to_token(number) or ""
            for role, number in given.items()
            if number is not None
        }
        return self.encode_batch(render_chats(self.model.chat_template, conversations, tokens))

    @property
    def vocab_size(self) -> int:
        """Number of rows of the model's table, which may be larger than the tokenizer's."""
        return max(super().vocab_size, self.model.num_rows)

    def ids(self) -> dict[str, int]:
        """Returns the id of every token by its name."""
        return self._subwords.get_vocab()

    @property
    def special_ids(self) -> list[int]:
        """Ids that are not text, in increasing order; rows without a token are among them."""
        return [*super().special_ids, *range(super().vocab_size, self.vocab_size)]

    @property
    def bos_id(self) -> int:
        """Id with which a decoder begins."""
        return super().bos_id if self.model.begin is None else self.model.begin

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that end what a model writes."""
        return self.model.ends or super().end_ids

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """Returns the text of ids up to the first end; other special ids are skipped."""
        ends = self.model.ends
        return super().decode(itertools.takewhile(lambda id: operator.index(id) not in ends, ids))

    @property
    def start_ids(self) -> list[int]:
        """Ids that a decoder reads before it writes a translation."""
        return [self.bos_id, *self.model.forced]

    @property
    def never_written(self) -> list[int]:
        """Ids that the model may not write."""
        return list(self.model.never_written)

    def of_model(self, model: "OfModel") -> "PublishedTokenizer":
        """Returns the same tokenizer for a model, whose config says more about ids."""
        made = copy.copy(self)
        made.model = model
        vars(made).pop("target", None)
        return made

    @functools.cached_property
    def target(self) -> Tokenizer:
        """The tokenizer of the texts that a model writes, which may be of another language."""
        language = self.model.target_language
        return self if language is None else self.marking(language)

    def marking(self, language: int) -> "PublishedTokenizer":
        """Returns the same tokenizer, which marks all texts as those of one language.

        Args:
            language: id of its mark.
        """
        made = self.of_model(dataclasses.replace(self.model, target_language=None))
        made._subwords = with_language(self._subwords, self.special, language)
        return made

    def language_id(self, option: str, language: str) -> int:
        """Returns the id of the mark of a language; see `language_marks.language_id`."""
        return language_id(self._subwords, self.special, option, language)

    def text_of_json(self) -> str:
        """Returns the contents of a tokenizer.json."""
        return self._subwords.to_str()

    def to_json(self) -> str:
        """Returns the contents that `save` writes."""
        model = dataclasses.asdict(self.model)
        files = {
            name: base64.b64encode(zlib.compress(content)).decode()
            for name, content in self.files.items()
        }
        contents = {"kind": self.kind, "model": model, **self._contents(), "files": files}
        return json.dumps(contents, ensure_ascii=False)

    def _contents(self) -> dict[str, Any]:
        return {
            "special_ids": dataclasses.asdict(self.special),
            "splits_special": self._subwords.encode_special_tokens,
            "tokenizer": json.loads(self._subwords.to_str()),
        }

    @classmethod
    def from_contents(cls, contents: Mapping[str, Any], path: str) -> "PublishedTokenizer":
        """Reads the contents of a file that `save` wrote at path."""
        special = SpecialIds(**contents["special_ids"])
        subwords = subwords_of_json(json.dumps(contents["tokenizer"]), path)
        return cls(subwords, special, path, splits_special=contents.get("splits_special", False))


def subwords_of_json(text: str, path: str) -> tokenizers.Tokenizer:
    """Makes a tokenizer of the contents of a tokenizer.json.

    Raises:
        UserError: if the library does not read it.
    """
    with reported(path):
        return tokenizers.Tokenizer.from_str(text)


@contextlib.contextmanager
def reported(path: str) -> Iterator[None]:
    """Reports an error of the library tokenizers, or a panic in it, as an error in a file."""
    try:
        yield
    except (UserError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of the library is not an Exception
        raise UserError(f"{path} is not a tokenizer ({error}): restore the file") from None
