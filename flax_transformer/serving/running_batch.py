"""A batch of texts that are written together, which texts join and leave at any time.

All rows share one cache and one number of filled places. A text that joins has read its prompt on
its own; its keys and values are copied to the last filled places of a row. So the tokens of a row
are always the last of its filled places, and what lies before them belongs to no text.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, Sharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Bool, Int, PRNGKeyArray, UInt32

from flax_transformer.data.batches.batches import padded_length
from flax_transformer.decoding.row_choices import RowChoices, choose_by_row
from flax_transformer.decoding.sampling import row_keys, sample_keys
from flax_transformer.functional.cache import Cache
from flax_transformer.serving.moved_texts import copied_texts, insert_text
from flax_transformer.tasks.task import Model, Variables

# Sizes grow by these factors, so that few programs are compiled. A step reads all places, which
# costs more than to move the texts when they are full.
ROW_GROWTH, PLACE_GROWTH = 4, 2
FEWEST_PLACES = 64
# Tokens that are written at least before texts are moved again.
FEWEST_STEPS = 32


class Piece(NamedTuple):
    """What a text reads, and how it goes on.

    Attributes:
        tokens: to read.
        limit: largest number of tokens to write after them.
        numbers: which identify it; see `row_keys`.
        seed: of the random keys.
        temperature: see `RowChoices`.
        top_p: see `RowChoices`.
    """

    tokens: list[int]
    limit: int
    numbers: tuple[int, ...]
    seed: int
    temperature: float
    top_p: float


# A row: the number of its text; its last token; how many are in the cache, and how many it has
# written and may write; and how the next one is chosen.
_ROW = np.dtype(
    [
        ("is_active", bool),
        ("text", np.int64),
        ("token", np.int32),
        ("filled", np.int32),
        ("written", np.int32),
        ("left", np.int32),
        ("key", np.uint32, 2),
        ("temperature", np.float32),
        ("top_p", np.float32),
    ]
)


class RunningBatch:
    """Rows that hold texts, and their cache.

    Args:
        model: a decoder without an encoder.
        variables: of the model.
        max_length: tokens that the model reads.
        max_rows: number of texts that can be written at the same time.
        never_written: ids that are never chosen.
    """

    def __init__(
        self,
        model: Model,
        variables: Variables,
        *,
        max_length: int,
        max_rows: int,
        never_written: tuple[int, ...],
    ):
        self._model, self._variables, self._never_written = model, variables, never_written
        self._max_length, self._sharding = max_length, _whole_on_each(variables)
        self._row_sizes = _sizes(1, max_rows, ROW_GROWTH)
        # A text may be near its end while another one begins.
        self._place_sizes = _sizes(FEWEST_PLACES, 2 * max_length, PLACE_GROWTH)
        self.clear()

    @property
    def num_active(self) -> int:
        """Number of rows with a text."""
        return int(self._rows["is_active"].sum())

    def join(self, number: int, piece: Piece) -> int:
        """Reads a prompt, and takes a row for what follows.

        Args:
            number: of the text, which no other one in the batch has.
            piece: of the text; fewer than `max_rows` rows hold one.

        Returns:
            The first written token.
        """
        text, row = self._read_prompt(piece)
        places = text.history.shape[1]
        if self._rows["is_active"].all() or places > self._filled:
            self._arrange(places, piece.limit)
        place = int(np.argmin(self._rows["is_active"]))
        self._cache = insert_text(self._cache, text, np.int32(place), np.int32(self._filled))
        row["text"] = number
        self._rows[place] = row[0]
        return int(row["token"][0])

    def step(self) -> dict[int, int]:
        """Writes the next token of each text.

        Returns:
            The token of each text's number.
        """
        # Twice as many would fit too: so a text more or less does not move all others.
        is_small = _at_least(self._row_sizes, 2 * self.num_active) < len(self._rows)
        if is_small or self._filled == self._cache.history.shape[1]:
            self._arrange()
        rows = self._rows
        rows["token"] = self._read_next()
        self._filled += 1
        rows["filled"] += 1
        rows["written"] += 1
        rows["left"] -= 1
        active = rows[rows["is_active"]]
        return dict(zip(active["text"].tolist(), active["token"].tolist(), strict=True))

    def num_left(self, number: int) -> int:
        """Number of tokens that a text may still write."""
        return int(self._rows["left"][self._row_of(number)])

    def leave(self, number: int) -> None:
        """Frees the row of a text."""
        self._rows["is_active"][self._row_of(number)] = False

    def _row_of(self, number: int) -> int:
        return int(np.argmax(self._rows["is_active"] & (self._rows["text"] == number)))

    @property
    def num_sizes(self) -> int:
        """Number of sizes of the cache."""
        return len(self._row_sizes) * len(self._place_sizes)

    @property
    def num_bytes(self) -> int:
        """Bytes of the largest cache."""
        sizes = (self._row_sizes[-1], self._place_sizes[-1])
        arrays = jax.tree.leaves(jax.eval_shape(lambda: _empty_cache(self._model, *sizes)))
        return sum(array.size * array.dtype.itemsize for array in arrays)

    def warm_up(self, done: Callable[[], None]) -> None:
        """Compiles the programs of all sizes.

        Args:
            done: called after each of `num_sizes`.
        """
        longest = self._max_length
        lengths = sorted({padded_length(length, longest) for length in range(1, longest + 1)})
        piece = Piece([], 1, (0, 0, 0), seed=0, temperature=1.0, top_p=0.5)
        texts = [self._read_prompt(piece._replace(tokens=[0] * length))[0] for length in lengths]
        for places in self._place_sizes:
            for num_rows in self._row_sizes:
                self._clear(num_rows, places)
                self._read_next()
                for text in texts:
                    if text.history.shape[1] <= places:
                        self._cache = insert_text(self._cache, text, np.int32(0), np.int32(places))
                done()
        self.clear()

    def _read_prompt(self, piece: Piece) -> tuple[Cache, np.ndarray]:
        """Returns the cache of a text, and its row after its first token."""
        length = padded_length(len(piece.tokens), self._max_length)
        padding = length - len(piece.tokens)
        tokens = np.pad(np.array([piece.tokens], np.int32), ((0, 0), (padding, 0)))
        key = _key_words(jax.random.key(piece.seed), np.array([piece.numbers], np.uint32))
        row = np.zeros(1, _ROW)
        counts = (0, len(piece.tokens), 0, piece.limit)
        row[0] = (True, 0, *counts, np.asarray(key), piece.temperature, piece.top_p)
        cache = self._empty_cache(1, length)
        row["token"], cache = self._write(cache, tokens, np.arange(length)[None] >= padding, row)
        row["written"], row["left"] = 1, piece.limit - 1
        return cache, row

    def _read_next(self) -> np.ndarray:
        """Reads the last token of each row; returns the next ones."""
        rows = self._rows
        cache = self._cache._replace(length=np.int32(self._filled))
        read = (rows["token"][:, None], rows["is_active"][:, None])
        found, self._cache = self._write(cache, *read, rows)
        return found

    def _write(
        self, cache: Cache, tokens: np.ndarray, is_token: np.ndarray, rows: np.ndarray
    ) -> tuple[np.ndarray, Cache]:
        settings: Any = [rows[name] for name in ("key", "written", "temperature", "top_p")]
        given = (self._variables, cache, tokens, is_token, RowChoices(*settings))
        found, cache = _write_next(self._model, self._never_written, *given)
        return np.asarray(found), cache

    def clear(self) -> None:
        """Drops all texts; also after an error, which may leave a cache that cannot be used."""
        self._clear(1, self._place_sizes[0])

    def _clear(self, num_rows: int, places: int) -> None:
        self._rows, self._filled = np.zeros(num_rows, _ROW), 0
        self._cache = self._empty_cache(num_rows, places)

    def _empty_cache(self, num_rows: int, places: int) -> Cache:
        # Always on the device of the variables: for another place, programs are compiled again.
        return jax.device_put(_empty_cache(self._model, num_rows, places), self._sharding)

    def _arrange(self, joining: int = 0, limit: int = 0) -> None:
        """Moves the texts to the first places of a cache with room for them.

        Args:
            joining: places of the prompt of one that joins; 0: none does.
            limit: number of tokens that it may write.
        """
        kept = np.flatnonzero(self._rows["is_active"])
        rows, cache, end = self._rows[kept], self._cache, self._filled
        length = max([joining, *rows["filled"].tolist()])
        room = min(max([limit, *rows["left"].tolist()]), FEWEST_STEPS)
        num_rows = _at_least(self._row_sizes, len(kept) + (joining > 0))
        self._clear(num_rows, _at_least(self._place_sizes, length + room))
        self._rows[: len(kept)], self._filled = rows, length
        self._cache = copied_texts(cache, kept, rows["filled"], end, self._cache, length)


def _sizes(first: int, last: int, growth: int) -> list[int]:
    """Returns first, first * growth, ... and last."""
    sizes = []
    while first < last:
        sizes.append(first)
        first *= growth
    return [*sizes, last]


def _at_least(sizes: Sequence[int], number: int) -> int:
    return next((size for size in sizes if size >= number), sizes[-1])


@jax.jit
def _key_words(rng: PRNGKeyArray, numbers: UInt32[Array, "1 words"]) -> UInt32[Array, " key_words"]:
    """The words of the random key of a text's samples."""
    return jax.random.key_data(sample_keys(row_keys(rng, numbers), 1, 1)[0, 0])


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _empty_cache(model: Model, num_rows: int, places: int) -> Cache:
    return model.apply({}, num_rows, places, method=model.start)


def _whole_on_each(variables: Variables) -> Sharding:
    """Where a small array is that is computed with the variables."""
    sharding = jax.tree.leaves(variables)[0].sharding
    return NamedSharding(sharding.mesh, P()) if isinstance(sharding, NamedSharding) else sharding


@functools.partial(jax.jit, static_argnums=(0, 1), donate_argnums=3)
def _write_next(
    model: Model,
    never_written: tuple[int, ...],
    variables: Variables,
    cache: Cache,
    tokens: Int[Array, "rows new_length"],
    is_token: Bool[Array, "rows new_length"],
    choices: RowChoices,
) -> tuple[Int[Array, " rows"], Cache]:
    """Reads tokens, and chooses the next one of each row; the keys of the choices are words."""
    options = {"is_token": is_token, "method": model.decode}
    logits, cache = model.apply(variables, tokens, cache, **options)
    logits = logits[:, -1].astype(jnp.float32)
    logits = logits.at[:, jnp.array(never_written, int)].set(-jnp.inf)
    choices = choices._replace(keys=jax.random.wrap_key_data(choices.keys))
    return choose_by_row(logits, choices), cache
