"""Warnings about texts that are longer than a model reads."""

import warnings

from flax_transformer.data.batches.examples import Inputs, TextInputs


class CutTextWarning(UserWarning):
    """A text is longer than the model reads at once."""


def warn_of_cut_texts(inputs: Inputs, where: str = "") -> None:
    """Warns once of all texts that were cut, if there are any.

    Args:
        inputs: texts, or images or videos, of which none is cut.
        where: origin of the texts, such as "of the split train".
    """
    if not isinstance(inputs, TextInputs) or not inputs.num_cut:
        return
    verb = "are" if inputs.num_cut > 1 else "is"
    texts = " ".join(filter(None, ["texts", where]))
    warnings.warn(
        f"{inputs.num_cut:,} of {len(inputs):,} {texts} {verb} longer than --data.max-length "
        f"{inputs.max_length} and {verb} cut",
        CutTextWarning,
        stacklevel=3,
    )
