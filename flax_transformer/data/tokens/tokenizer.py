"""Tokenizers: a lossless byte-level BPE for any text, characters, and tokenizers of others.

`adopt_tokenizer` reads a tokenizer of others for a model of ours; `read_published_tokenizer` reads
the tokenizer of a published model, whose ids stay as they are.
"""

import functools
import itertools
import operator
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import SupportsIndex

# Set before the library starts its threads. With any value set, it neither warns at a fork nor
# stops its threads. This package does not tokenize in a forked process.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")

import numpy as np
import tokenizers
from jaxtyping import Int32, Int64
from tokenizers import decoders, models, pre_tokenizers, trainers

from flax_transformer.data.tokens.byte_spelling import text_of_spelling
from flax_transformer.data.tokens.special_ids import SpecialIds
from flax_transformer.data.tokens.subword_settings import is_local, spells_bytes
from flax_transformer.errors import UserError, check_number
from flax_transformer.whole_files import written_whole

PAD, BOS, EOS = 0, 1, 2
NUM_SPECIAL = 3
MIN_VOCAB_SIZE = NUM_SPECIAL + 256
MAX_VOCAB_SIZE = 2**24  # memory for all of it is allocated before a merge is learned
# Maximum bytes of a word for learning merges at once: the time grows with the square, and one line
# of ten million letters would take hours.
MAX_WORD_LENGTH = 1000
UNKNOWN = "\ufffd"
FlatIds = tuple[Int32[np.ndarray, " total"], Int64[np.ndarray, " texts"]]
_SPECIAL_NAMES = {PAD: "<pad>", BOS: "<s>", EOS: "</s>"}


class Tokenizer:
    """Converts text to subword ids from NUM_SPECIAL up, and ids to text.

    The special ids are not in the subword vocabulary, so no text contains one: "<pad>" is five
    ordinary characters.

    Example:
        >>> tokenizer = Tokenizer.train(["two", "twenty-two"], vocab_size=270)
        >>> tokenizer.decode(tokenizer.encode(" twenty  <pad> "))
        ' twenty  <pad> '

    Reference: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units",
    section 3.2; over bytes as in Radford et al. 2019, section 2.2.
    """

    def __init__(self, subwords: tokenizers.Tokenizer):
        # A special token in a text is plain text. The library does not save this setting.
        subwords.encode_special_tokens = True
        # The mask has the id of padding, which segments distinguish from padding. So a model that
        # was trained without masks has the same parameters.
        self._take(subwords, SpecialIds(pad=PAD, bos=BOS, eos=EOS, mask=PAD), NUM_SPECIAL)

    def _take(self, subwords: tokenizers.Tokenizer, special: SpecialIds, first_id: int) -> None:
        """Sets the fields; id `first_id + i` is subword i."""
        self._subwords, self.special, self._first_id = subwords, special, first_id
        self._special_ids = special.given
        # The ids of a file may have gaps.
        self._num_subwords = max(subwords.get_vocab().values(), default=-1) + 1

    @property
    def special_ids(self) -> list[int]:
        """Ids that are not text, in increasing order."""
        return sorted(self._special_ids)

    @property
    def pad_id(self) -> int:
        """Padding id; without one any id serves, as segments mark padding."""
        return 0 if self.special.is_without("pad", "eos") else self.special.need("pad", "eos")

    @property
    def bos_id(self) -> int:
        """Id of the begin mark."""
        return self.special.need("bos", "cls")

    @property
    def eos_id(self) -> int:
        """Id of the end mark."""
        return self.special.need("eos", "sep")

    @property
    def end_ids(self) -> tuple[int, ...]:
        """Ids that end what a model writes."""
        return (self.eos_id,)

    @property
    def mask_id(self) -> int:
        """Id that replaces a hidden token."""
        return self.special.need("mask")

    @property
    def target(self) -> "Tokenizer":
        """The tokenizer of the texts that a model writes, with the same ids."""
        return self

    @classmethod
    def train(cls, texts: Iterable[str], vocab_size: int) -> "Tokenizer":
        """Learns the merges from texts; the same texts produce the same tokenizer.

        Args:
            texts: sentences, source and target together for a joint vocabulary.
            vocab_size: maximum number of ids, including the special ones; few texts may give fewer.

        Raises:
            UserError: if vocab_size cannot hold all bytes or exceeds MAX_VOCAB_SIZE, or texts is
                empty.
        """
        if vocab_size < MIN_VOCAB_SIZE:
            raise UserError(
                f"--data.vocab-size {vocab_size} is too small: the 256 bytes and {NUM_SPECIAL} "
                f"special tokens need at least {MIN_VOCAB_SIZE}"
            )
        check_number("--data.vocab-size", vocab_size, MIN_VOCAB_SIZE, MAX_VOCAB_SIZE)
        texts = iter(texts)
        first = next(texts, None)
        if first is None:
            raise UserError("no text to train a tokenizer on: the training split is empty")
        subwords = tokenizers.Tokenizer(models.BPE())
        # A prefix space would remain after decoding and break the round trip.
        words = pre_tokenizers.ByteLevel(add_prefix_space=False)
        pieces = pre_tokenizers.FixedLength(length=MAX_WORD_LENGTH)
        subwords.pre_tokenizer = pre_tokenizers.Sequence([words, pieces])
        subwords.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - NUM_SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        subwords.train_from_iterator(itertools.chain([first], texts), trainer)
        subwords.pre_tokenizer = words
        return cls(subwords)

    @classmethod
    def of_characters(cls, texts: Iterable[str]) -> "Tokenizer":
        """Assigns ids to all characters that occur in texts, in the order of their code points.

        Characters that do not occur are encoded as U+FFFD, which has the first id.

        Raises:
            UserError: if texts is empty.
        """
        characters = sorted(set(itertools.chain.from_iterable(texts)) - {UNKNOWN})
        if not characters:
            raise UserError("no text to take characters from: the training split is empty")
        numbers = {character: number for number, character in enumerate([UNKNOWN, *characters])}
        subwords = tokenizers.Tokenizer(models.WordLevel(numbers, unk_token=UNKNOWN))
        subwords.pre_tokenizer = pre_tokenizers.FixedLength(length=1)
        subwords.decoder = decoders.Fuse()
        return cls(subwords)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Tokenizer":
        """Reads a file written by `save`.

        Raises:
            UserError: if the file is missing or is not a tokenizer.
        """
        try:
            return cls(tokenizers.Tokenizer.from_file(os.fspath(path)))
        except Exception as error:  # the library raises no narrower class
            raise UserError(
                f"cannot read the tokenizer {os.fspath(path)} ({error}): restore the file, or "
                "train again into an empty workdir"
            ) from error

    @classmethod
    def from_json(cls, text: str) -> "Tokenizer":
        """Reads the result of `to_json`."""
        return cls(tokenizers.Tokenizer.from_str(text))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one JSON file atomically."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as file:
            file.write_text(self.to_json(), encoding="utf-8")

    def to_json(self) -> str:
        """Returns the contents that `save` writes."""
        return self._subwords.to_str()

    @property
    def vocab_size(self) -> int:
        """Number of ids, including the special ones: the rows of an embedding."""
        return self._num_subwords + self._first_id

    def encode(self, text: str, *, marked: bool = False) -> list[int]:
        """Returns the ids of a text, without special tokens.

        Args:
            text: any text.
            marked: whether to add the marks of a whole text, as `encode_marked` does.

        Raises:
            UserError: if the text contains a lone surrogate, which has no bytes.
        """
        return self.encode_batch([text], marked=marked)[0]

    def encode_batch(self, texts: Sequence[str], *, marked: bool = False) -> list[list[int]]:
        """Encodes many texts at once, in several threads; see `encode`."""
        ids, lengths = self.encode_marked(texts) if marked else self.encode_flat(texts)
        return [part.tolist() for part in np.split(ids, np.cumsum(lengths))[:-1]]

    def encode_flat(self, texts: Sequence[str]) -> FlatIds:
        """Returns the joined ids of many texts, and their numbers of ids; see `encode`."""
        return self._encode(texts)

    def encode_marked(self, texts: Sequence[str], *, begin: bool = True) -> FlatIds:
        """Returns what `encode_flat` does, with an end mark after each text.

        Args:
            texts: any texts.
            begin: whether to add a begin mark before each text.
        """
        ids, lengths = self.encode_flat(texts)
        ends = np.cumsum(lengths)
        places = np.stack([ends - lengths, ends], axis=-1)[:, 1 - begin :]
        marks = np.broadcast_to([self.bos_id, self.eos_id][1 - begin :], places.shape)
        return np.insert(ids, places.ravel(), marks.ravel()), lengths + 1 + begin

    def encode_prompt(self, text: str) -> list[int]:
        """Returns the ids of a text that a model continues; there is at least one."""
        return self.encode(text) or [self.eos_id]

    @property
    def start_ids(self) -> list[int]:
        """Ids that a decoder reads before it writes a translation."""
        return [self.bos_id]

    @property
    def never_written(self) -> list[int]:
        """Ids that a model may not write, as they are not text."""
        return [self.pad_id, self.bos_id]

    def _encode(self, texts: Sequence[str], *, add_special_tokens: bool = False) -> FlatIds:
        try:
            rows = self._rows(list(texts), add_special_tokens)
        except (TypeError, UnicodeEncodeError):
            bad = next(text for text in texts if any("\ud800" <= c <= "\udfff" for c in text))
            raise UserError(f"not a valid Unicode text: {bad!r}; give it as UTF-8") from None
        except Exception as error:  # the library raises no narrower class
            raise UserError(
                f"the tokenizer cannot encode every text ({error}): give another one with an "
                "unknown token"
            ) from error
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        ids = np.fromiter(itertools.chain.from_iterable(rows), np.int32, int(lengths.sum()))
        return ids + np.int32(self._first_id), lengths

    def _rows(self, texts: list[str], add_special_tokens: bool) -> list[list[int]]:
        """The subwords of each text."""
        found = self._subwords.encode_batch_fast(texts, add_special_tokens=add_special_tokens)
        return [encoding.ids for encoding in found]

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """Returns the text of ids up to the first end mark; other special ids are skipped."""
        end = self.special.eos
        text = itertools.takewhile(lambda token: token != end, map(operator.index, ids))
        first = self._first_id
        subwords = [id - first for id in text if id >= first and id not in self._special_ids]
        return self._subwords.decode(subwords, skip_special_tokens=False)

    def names(self, ids: Iterable[SupportsIndex]) -> list[str]:
        r"""Returns one string for each id, for display.

        The string of an id is its text, or U+FFFD for a character outside the vocabulary. Bytes of
        an incomplete character, as in rare letters, are shown as \xc3. Special ids are <pad>, <s>
        and </s>. An id beyond the vocabulary is an empty string.

        Example:
            >>> tokenizer = Tokenizer.train(["two", "twenty-two"], vocab_size=270)
            >>> tokenizer.names([1, *tokenizer.encode("two ü"), 2])
            ['<s>', 'two', ' ', '\\xc3', '\\xbc', '</s>']
        """
        return [self._name(operator.index(token)) for token in ids]

    def _name(self, token: int) -> str:
        if token < self._first_id:
            return _SPECIAL_NAMES.get(token, "")
        spelling = self._subwords.id_to_token(token - self._first_id) or ""
        return text_of_spelling(spelling) if self._is_of_bytes else spelling

    @functools.cached_property
    def is_local(self) -> bool:
        """Returns whether a text may be encoded in parts cut between a word and a line end."""
        return is_local(self._subwords)

    @functools.cached_property
    def _is_of_bytes(self) -> bool:
        return spells_bytes(self._subwords)
