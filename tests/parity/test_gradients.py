"""Gradients of the loss of a training step, of each family, beside those of PyTorch."""

import copy
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import torch
from flax.traverse_util import flatten_dict
from published_cases import CASES, CLASSES
from published_models import (
    LEFT,
    LENGTH,
    LENGTHS,
    RIGHT,
    TOKENS,
    add_own_logits,
    call_them,
    counted,
    distance,
    has_own_logits,
    is_decoder,
    our_logits,
    published,
    their_logits,
    without_influence,
)

from flax_transformer.functional import label_smoothed_cross_entropy, linear_cross_entropy
from flax_transformer.interchange import FAMILIES, parameters
from flax_transformer.modules.token_embedding import LogitFactors

TOLERANCE = 1e-4


def labels_of(config: Any, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """What a training predicts, and where: the next token, a hidden one, or a class."""
    places = counted(config, shape)
    if len(shape) == 2:
        return np.arange(len(LENGTHS)) % CLASSES, places
    if is_decoder(config):
        return np.roll(TOKENS, -1, axis=1), places & (np.arange(LENGTH) < LENGTH - 1)
    return np.roll(TOKENS, 1, axis=1)[:, : shape[1]], places


def their_gradients(name: str, model: Any, folder: Path, out: Path) -> dict[str, Any]:
    """Writes the gradients of their loss as the tensors of a folder, and reads it by our rules."""
    model = copy.deepcopy(model)
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    if "final_logits_bias" in tensors:
        tensors["final_logits_bias"].requires_grad_()
    logits = call_them(model)
    labels, places = map(torch.tensor, labels_of(model.config, tuple(logits.shape)))
    torch.nn.functional.cross_entropy(logits[places], labels[places]).backward()
    # Fixed positions, which only PyTorch's Pegasus trains, must stay a table of sines.
    is_fixed = FAMILIES[name.split()[0]].fixed_tables
    for tensor_name, tensor in tensors.items():
        if tensor.grad is not None and tensor_name not in is_fixed:
            tensor.data = tensor.grad
    model.save_pretrained(out)
    if has_own_logits(name):
        add_own_logits(out, tensors["lm_head.weight"].detach().numpy())
    shutil.copy(folder / "config.json", out)
    return flatten_dict(parameters(out)[2]["params"], sep="/")


def padding_row(model: Any) -> int | None:
    """The row of the embeddings that PyTorch does not train, as it is that of padding."""
    return getattr(model.get_input_embeddings(), "padding_idx", None)


def our_loss(name: str, module: Any, labels: np.ndarray, places: np.ndarray) -> Any:
    """Makes the function of parameters and of the mask of the loss, as tasks compute it."""
    kind, targets, weights = name.split()[0], jnp.asarray(labels), jnp.asarray(places, jnp.float32)
    call = our_logits(CASES[name].architecture, module, kind, factors=True)

    def loss(params: Any, mask: Any) -> Any:
        outputs = call({"params": params}, TOKENS, mask)
        if not isinstance(outputs, LogitFactors):
            total, weight = label_smoothed_cross_entropy(outputs, targets, weights)
        else:
            hidden, table, bias, _ = outputs
            # Static: what `jit` returns is an array.
            cap = module.config.logits_soft_cap
            total, weight = linear_cross_entropy(
                hidden, table, targets, weights, bias=bias, cap=cap
            )
        return total / weight

    return loss


@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_pytorch(name, tmp_path):
    """Those of the loss in each parameter, except for biases of keys, which have no influence."""
    folder = tmp_path / "model"
    theirs = published(name, folder)
    config, module, variables = parameters(folder)
    expected = their_gradients(name, theirs, folder, tmp_path / "gradients")
    labels, places = labels_of(theirs.config, their_logits(theirs).shape)
    loss = our_loss(name, module, labels, places)
    mask = jnp.asarray(LEFT if is_decoder(theirs.config) else RIGHT)
    actual: dict[str, Any] = flatten_dict(
        jax.jit(jax.grad(loss))(variables["params"], mask), sep="/"
    )
    assert actual.keys() == expected.keys()
    if (row := padding_row(theirs)) is not None:
        for gradients in (actual, expected):
            gradients["embedding/table"] = jnp.delete(gradients["embedding/table"], row, axis=0)
    largest = max(float(jnp.abs(gradient).max()) for gradient in expected.values())
    for path, gradient in expected.items():
        if without_influence(path, config):
            assert jnp.abs(actual[path] - gradient).max() < 1e-6 * largest
        else:
            assert jnp.any(gradient), path
            assert distance(actual[path], np.asarray(gradient)) < TOLERANCE, path
