"""The tokens and weights that the attention viewer accepts, and its errors for others."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from flax_transformer.errors import UserError
from flax_transformer.visualization import view_attention
from flax_transformer.visualization.attention_maps import plot_attention

EVEN = np.full((1, 1, 3, 3), 1 / 3, np.float32)
IDS = [7, 0, 31]

pytestmark = pytest.mark.usefixtures("unchecked_types")


def tokens_of(view):
    header = re.search(r'id="header">(.*?)</script>', view.page)
    assert header
    return json.loads(header[1])["readings"][0]["tokens"]


@pytest.mark.parametrize(
    "ids",
    [IDS, np.array(IDS), jnp.array(IDS), np.array(IDS, np.uint8), tuple(np.array(IDS))],
    ids=["list", "numpy", "jax", "bytes", "scalars"],
)
def test_ids_are_shown_as_text(ids):
    sides = tokens_of(view_attention({"cross": EVEN}, ids, ids))
    assert sides == {"source": ["7", "0", "31"], "target": ["7", "0", "31"]}
    labels = plot_attention(EVEN[0], ids).axes[0].get_xticklabels()
    assert [label.get_text() for label in labels] == ["7", "0", "31"]


@pytest.mark.parametrize("token", [None, 0.5, ["a"], b"word"])
def test_what_is_neither_a_string_nor_an_id_is_named(token):
    with pytest.raises(UserError, match=r"a token is .*: give strings or ids") as error:
        view_attention(EVEN, ["a", "b", token])
    assert len(str(error.value).splitlines()) == 1


def test_tensors_that_need_a_gradient_are_refused_in_a_line():
    torch = pytest.importorskip("torch", reason="needs the extra parity")
    weights = torch.tensor(EVEN, requires_grad=True)
    for refused in (weights, {"encoder": weights * 1}):
        with pytest.raises(UserError, match=r"weights need a gradient, .*: call \.detach\(\)"):
            view_attention(refused, IDS)
    image = torch.zeros((1, 3, 3), requires_grad=True)
    with pytest.raises(UserError, match=r"pixels of the image need a gradient"):
        view_attention(EVEN, IDS, image=image, patches=(1, 3))
    layers = (weights[0], weights[0])  # as Hugging Face's models give them
    with pytest.raises(
        UserError, match=r"attention weights are not an array of numbers \(.*\): give one"
    ) as error:
        view_attention(layers, IDS)
    assert len(str(error.value).splitlines()) == 1
    assert view_attention(weights.detach(), IDS).page == view_attention(EVEN, IDS).page


@pytest.mark.parametrize("transform", [jax.jit, jax.grad])
def test_weights_within_a_transformation_are_refused_in_a_line(transform):
    def shown(weights):
        view_attention(weights, IDS)
        return weights.sum()

    with pytest.raises(UserError, match="weights have no values inside jit or grad: return them"):
        transform(shown)(jnp.asarray(EVEN))
