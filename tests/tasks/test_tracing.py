"""Tracing of images and videos: each share is that of one patched pass."""

import jax
import numpy as np
import pytest
from small_models import CLASSES, video, vision
from small_tasks import picture_task

from flax_transformer.inspection import At, activations, run_with
from flax_transformer.inspection.picture_attention import patch_names
from flax_transformer.tasks.tracing import trace

pytestmark = pytest.mark.usefixtures("quickly_compiled")
MODELS = {
    "image": lambda: vision(num_layers=1),
    "joint": lambda: video(variant="joint", num_layers=1),
    "factorized_encoder": lambda: video(
        variant="factorized_encoder", pooling="class_token", num_layers=1
    ),
    "factorized_self_attention": lambda: video(
        variant="factorized_self_attention", pooling="mean", num_layers=1
    ),
    "factorized_dot_product": lambda: video(
        variant="factorized_dot_product", pooling="mean", num_layers=1
    ),
}


def log_prob(outputs):
    return jax.nn.log_softmax(outputs)[:, 1]


@pytest.mark.parametrize("name", MODELS)
def test_each_share_is_that_of_a_patched_pass(name):
    small = MODELS[name]()
    task = picture_task(small.model.config, tuple(map(str, range(CLASSES))))
    variables = small.draw()
    clean, other = ({key: x[row : row + 1] for key, x in small.named().items()} for row in (0, 1))
    found = trace(task, variables, clean, other, log_prob)
    carried = activations(task.model, variables, clean)
    names = patch_names(small.model.config)
    for stack, shares in found.shares.items():
        module, _, kind = stack.rpartition(".")
        if kind == "attention" or kind.endswith("_attention"):
            activation, at = f"{module}.0.{kind}.heads", {"heads": shares.shape[1] - 1}
        else:
            # Of a class token and patches, the last layer's class token is read.
            activation, at = f"{stack}.0.feed_forward_residual.residual", {"positions": 0}
            assert len(names[stack]) == shares.shape[1]
        patch = {activation: At(carried[activation], **at)}
        outputs = run_with(task.model, variables, other, patch)
        expected = (log_prob(outputs)[0] - found.corrupted) / (found.clean - found.corrupted)
        (place,) = at.values()
        np.testing.assert_allclose(shares[0, place], expected, atol=1e-4)
        assert abs(shares[0, place]) > 1e-3
