"""What depends on the number of classes, in every model, is the head that a training may draw."""

import functools
from typing import Any

import jax
import pytest

from flax_transformer.models import ZOO
from flax_transformer.training.checkpoints.checkpoint_contents import shapes
from flax_transformer.training.checkpoints.initialization import HEAD

CLASSIFIERS = [name for name, entry in ZOO.items() if hasattr(entry.model, "num_classes")]


def shapes_with(name: str, num_classes: int) -> dict[str, str]:
    """The shapes of a published model's parameters, with another number of classes."""
    entry: Any = ZOO[name]
    model = entry.model.clone(num_classes=num_classes)
    method = "classify" if hasattr(model, "classify") else "__call__"
    init = functools.partial(model.init, method=method)
    return shapes(jax.eval_shape(init, jax.random.key(0), *entry.inputs))


def test_texts_images_and_videos_have_classes():
    assert {type(ZOO[name].model).__name__ for name in CLASSIFIERS} == {
        "EncoderOnly",
        "VisionTransformer",
        "VideoTransformer",
    }


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_only_the_head_has_another_shape_with_other_classes(name):
    few, many = shapes_with(name, 3), shapes_with(name, 11)
    assert few.keys() == many.keys()
    differing = {path for path in few if few[path] != many[path]}
    assert differing
    assert differing == {path for path in few if HEAD in path.split("/")}
