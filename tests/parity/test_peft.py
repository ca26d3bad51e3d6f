"""Our adapters in the package PEFT, on models of transformers: the same logits."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import torch
from flax.traverse_util import flatten_dict
from published_cases import CASES
from reference import assert_close
from test_interchange import (
    LEFT,
    RIGHT,
    TOKENS,
    counted,
    distance,
    is_decoder,
    our_logits,
    published,
    their_logits,
)

from flax_transformer.interchange import merge_adapter, parameters
from flax_transformer.interchange.exported_adapters import write_adapter
from flax_transformer.training.lora import freeze
from flax_transformer.training.lora_config import LoraConfig

peft: Any = pytest.importorskip("peft", reason="PEFT is not installed: pip install '.[parity]'")

TARGETS = {
    "gpt2": ("query", "value", "output", "hidden"),
    "llama": ("key", "value", "hidden"),
    "bert classes": ("query", "attention"),
}


@pytest.fixture(params=TARGETS)
def adapted(request, tmp_path):
    """A folder of transformers, our model of it, and adapters of each of its parts."""
    name = request.param
    theirs = published(name, tmp_path / "model")
    config, module, variables = parameters(tmp_path / "model")
    trained = ("classifier",) if "classes" in name else ()
    base = freeze(variables, (), LoraConfig(3, 7.0, TARGETS[name], trained))
    params = jax.tree.map(np.asarray, base.divide(variables["params"], jax.random.key(0)))
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32) / 5, params)
    write_adapter(config, params, base, tmp_path / "adapter", family=name.split()[0])
    call = our_logits(CASES[name].architecture, module, theirs.config.model_type)
    return tmp_path, theirs, call, variables, {"params": base.merge(params)}


def test_peft_reads_our_adapter(adapted):
    folder, theirs, call, variables, merged = adapted
    mask = jnp.asarray(LEFT if is_decoder(theirs.config) else RIGHT)
    model = peft.PeftModel.from_pretrained(theirs, folder / "adapter").eval()
    expected = their_logits(model)
    places = counted(theirs.config, expected.shape)
    found = np.asarray(call(merged, TOKENS, mask))[places]
    assert_close(found, expected[places], 1e-5)
    before = np.asarray(call(variables, TOKENS, mask))[places]
    assert distance(before, expected[places]) > 1e-2


def test_we_read_an_adapter_of_peft(tmp_path):
    """With a rank of its own, of packed projections and of others."""
    theirs = published("gpt2", tmp_path / "model")
    wanted = peft.LoraConfig(
        r=5, lora_alpha=9, target_modules=["c_attn", "c_fc"], rank_pattern={"c_fc": 2}
    )
    torch.manual_seed(0)
    model = peft.get_peft_model(theirs, wanted).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape) / 5)
    expected = their_logits(model)
    model.save_pretrained(tmp_path / "adapter")
    settings = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert settings["rank_pattern"] == {"c_fc": 2}
    config, module, variables = parameters(tmp_path / "model")
    merged = merge_adapter(config, variables, tmp_path / "adapter")
    assert flatten_dict(merged).keys() == flatten_dict(variables).keys()
    call = our_logits("", module, "gpt2")
    found = np.asarray(call(merged, TOKENS, jnp.asarray(LEFT)))
    assert_close(found[LEFT], expected[LEFT], 1e-5)
