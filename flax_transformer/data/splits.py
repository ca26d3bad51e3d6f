"""Splits of a prepared data set by their names, such as "test", and parts of them."""

from pathlib import Path
from typing import Any

from flax_transformer.data.parallel_text import ParallelText
from flax_transformer.errors import UserError, unknown


def read_split(
    builder: Any, dataset: str, split: str, keys: tuple[str, str], hint: str = ""
) -> ParallelText:
    """Gives a split of a prepared data set, or a part of one.

    Args:
        builder: TFDS's, of the prepared data set.
        dataset: its name, as the user gave it.
        split: a name such as "test", or a part of one such as "train[:1000]".
        keys: names of the features that are source and target.
        hint: what else to say where there is no such split.

    Raises:
        UserError: if there is no such split, the part is empty, or the data set was prepared in a
            format without random access.
    """
    try:
        text = ParallelText(builder.as_data_source(split), *keys, Path(builder.data_path))
        len(text)  # of a part that ends before it begins: negative, and thus a ValueError
        return text
    except NotImplementedError:
        raise UserError(
            f"{builder.data_dir} was prepared without random access: give another --data.data-dir."
        ) from None
    except ValueError:
        known = builder.info.splits
        name, bracket, _ = split.partition("[")
        if bracket and name in known:
            raise UserError(
                f"'{split}' is no part of {dataset}'s {name}, or one without a pair: give one such "
                f"as '{name}[:1000]' or '{name}[10%:20%]'."
            ) from None
        raise UserError(f"{unknown(f'split of {dataset}', split, known)}{hint}") from None
