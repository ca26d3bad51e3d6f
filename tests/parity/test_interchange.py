"""Folders that transformers writes: their logits in our modules, and ours read back by it."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from agreement import torch
from flax.traverse_util import flatten_dict, unflatten_dict
from published_cases import CASES
from published_models import (
    LEFT,
    RIGHT,
    TOKENS,
    counted,
    distance,
    draw_model,
    from_pretrained,
    is_decoder,
    our_logits,
    published,
    their_logits,
    transformers,
    without_influence,
)
from reference import assert_close

from flax_transformer.interchange import FAMILIES, export_folder, parameters
from flax_transformer.interchange.config_fields import COMMON_KEYS

TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    return request.param, folder, published(request.param, folder)


def test_logits_are_those_of_transformers(case):
    name, folder, theirs = case
    config, module, variables = parameters(folder)
    expected = their_logits(theirs)
    places = counted(theirs.config, expected.shape)
    kind = theirs.config.model_type
    call = our_logits(CASES[name].architecture, module, kind)
    mask = jnp.asarray(LEFT if is_decoder(theirs.config) else RIGHT)

    def wrong(variables: Any, call: Any = call, mask: Any = mask) -> float:
        return distance(np.asarray(call(variables, TOKENS, mask))[places], expected[places])

    assert_close(np.asarray(call(variables, TOKENS, mask))[places], expected[places], TOLERANCE)
    # It would fail by 100 times without any tensor, without the mask, or with other positions.
    flat: dict[str, Any] = flatten_dict(variables["params"], sep="/")
    for path, array in flat.items():
        if not without_influence(path, config):
            dropped = unflatten_dict(flat | {path: jnp.zeros_like(array)}, sep="/")
            assert wrong({"params": dropped}) > 100 * TOLERANCE, path
    if kind != "vit":
        assert wrong(variables, mask=jnp.ones_like(mask)) > 100 * TOLERANCE
    tables = [path for path in flat if path.endswith("positions/table")]
    if tables:
        shifted = {path: jnp.roll(flat[path], 1, axis=0 if kind != "t5" else 1) for path in tables}
        assert wrong({"params": unflatten_dict(flat | shifted, sep="/")}) > 100 * TOLERANCE
    else:
        change = (
            {"rotary_base": tuple((1.1 * np.atleast_1d(config.rotary_base)).tolist())}
            if "rotary" in config.positions
            else {"position_offset": 1}
        )
        other = dataclasses.replace(module, config=dataclasses.replace(config, **change))
        other_call = our_logits(CASES[name].architecture, other, kind)
        assert wrong(variables, other_call) > 100 * TOLERANCE


def test_an_export_is_what_was_imported(case, tmp_path):
    _, folder, theirs = case
    config, _, variables = parameters(folder)
    settings = json.loads((folder / "config.json").read_text())
    others = {key: value for key, value in settings.items() if key.endswith("_id")}
    family = theirs.config.model_type
    export_folder(config, variables, tmp_path, family=family, others=others)
    again, report = from_pretrained(type(theirs), tmp_path)
    sines = {key for key in report["missing_keys"] if "embed_positions" in key}
    assert not any(set(found) - sines for found in report.values())
    np.testing.assert_array_equal(their_logits(again), their_logits(theirs))
    for path, array in flatten_dict(parameters(tmp_path)[2]).items():
        np.testing.assert_array_equal(array, flatten_dict(variables)[path])
    before, after = theirs.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_each_family_is_among_the_cases():
    assert {name.split()[0] for name in CASES} == FAMILIES.keys()


@pytest.mark.parametrize("name", FAMILIES)
def test_every_key_of_their_config_is_handled(name):
    family = FAMILIES[name]
    known = COMMON_KEYS.union(*(field.keys for field in family.fields))
    kind = transformers.AutoConfig.for_model(name)
    assert not kind.to_dict().keys() - known


def test_a_folder_of_16_bits_keeps_its_type(tmp_path):
    model = draw_model(CASES["llama"]).to(torch.bfloat16)
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    _, _, variables = parameters(tmp_path)
    assert {x.dtype for x in jax.tree.leaves(variables)} == {jnp.dtype("bfloat16")}
    wide = parameters(tmp_path, dtype="float32")[2]
    assert {x.dtype for x in jax.tree.leaves(wide)} == {jnp.dtype("float32")}
    table = model.state_dict()["model.embed_tokens.weight"].float().numpy()
    np.testing.assert_array_equal(wide["params"]["embedding"]["table"], table)
