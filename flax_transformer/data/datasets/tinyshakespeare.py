"""Tinyshakespeare: 40,000 lines of Shakespeare's plays as one text, for character modeling.

Reference: Karpathy 2015, "The Unreasonable Effectiveness of Recurrent Neural Networks"; the split
is that of Karpathy 2022, nanoGPT, data/shakespeare_char.
"""

from typing import Any

from flax_transformer.data.datasets.plain_text import hold_out_end
from flax_transformer.data.datasets.recipe import TEXT, Recipe


def recipe(config: Any) -> Recipe:
    """Makes the recipe of the text: nine tenths to train on, the rest to validate on."""
    return Recipe(
        "tinyshakespeare",
        "Plays of Shakespeare as one text.",
        {"text": TEXT},
        _splits,
        title="tinyshakespeare",
        url="https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare",
        sha256={"input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
    )


def _splits(contents: dict[str, bytes]) -> dict[str, list[dict[str, str]]]:
    train, validation = hold_out_end(contents["input.txt"].decode("utf-8"))
    return {"train": [{"text": train}], "validation": [{"text": validation}]}
