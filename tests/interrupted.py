"""Trainings that end in their midst."""

from collections.abc import Callable

import pytest

from flax_transformer.training import loop


def crash() -> None:
    raise KeyboardInterrupt


def interrupt_batches(
    patch: pytest.MonkeyPatch, number: int, interrupt: Callable[[], object]
) -> None:
    """Makes a call before a batch is given."""
    pipeline = loop.training_pipeline

    def interrupted_pipeline(*args, **kwargs):
        for index, batch in enumerate(pipeline(*args, **kwargs)):
            if index == number:
                interrupt()
            yield batch

    patch.setattr(loop, "training_pipeline", interrupted_pipeline)
