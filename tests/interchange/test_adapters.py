"""Adapters in the files of PEFT, of every family, written and read by its rules."""

import dataclasses
import json
from typing import Any

import jax
import numpy as np
import pytest
from published_cases import CASES
from reference import assert_close
from small_folders import draw_variables, our_config

from flax_transformer.errors import UserError
from flax_transformer.interchange import export_adapter, merge_adapter
from flax_transformer.interchange.exported_adapters import write_adapter
from flax_transformer.interchange.safetensors_files import Tensors
from flax_transformer.models.stacking import stack_layers
from flax_transformer.training.checkpoints.checkpoint_contents import named_leaves
from flax_transformer.training.lora import freeze
from flax_transformer.training.lora_config import LoraConfig

# One of each architecture; kernels of experts are no matrices.
NAMES = [name for name in CASES if not name.startswith(("llama ", "mixtral", "t5 1.1"))]
TARGETS = ("query", "value", "output", "hidden")


def adapters(variables: Any, **settings: Any) -> tuple[Any, Any]:
    """The base and the adapters of a model, with numbers in place of zeros."""
    base = freeze(variables, (), LoraConfig(rank=3, alpha=7.0, targets=TARGETS, **settings))
    trained = jax.eval_shape(base.divide, variables["params"], jax.random.key(0))
    rng = np.random.default_rng(1)
    draw = lambda x: rng.normal(size=x.shape).astype(np.float32) / 4  # noqa: E731
    return base, jax.tree.map(draw, trained)


def written(name: str, folder: Any, **settings: Any) -> tuple[Any, Any, Any]:
    """Writes adapters of a case; returns its config, the model without and with them."""
    config, variables = our_config(name), draw_variables(name)
    base, trained = adapters(variables, **settings)
    write_adapter(config, trained, base, folder, family=name.split()[0])
    return config, variables, base.merge(trained)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_is_read_as_the_merged_model(name, tmp_path):
    config, variables, expected = written(name, tmp_path)
    found = merge_adapter(config, variables, tmp_path, family=name.split()[0])["params"]
    before, after, wanted = (named_leaves(x) for x in (variables["params"], found, expected))
    assert after.keys() == wanted.keys()
    changed = {path for path in before if not np.array_equal(before[path], wanted[path])}
    assert {path.split("/")[-2] for path in changed} == {*TARGETS}
    for path, leaf in wanted.items():
        assert_close(after[path], leaf, 1e-6)


def test_stacked_layers_are_written_one_by_one(tmp_path):
    config, variables, expected = written("gpt2", tmp_path / "looped")
    scanned = dataclasses.replace(config, scan_layers=True)
    stacked = stack_layers(variables)
    base, trained = adapters(variables)
    base = freeze(stacked, (), base.config)
    write_adapter(scanned, stack_layers({"params": trained})["params"], base, tmp_path / "scanned")
    looped, found = (
        Tensors(tmp_path / x, "adapter_model.safetensors") for x in ("looped", "scanned")
    )
    assert {*looped} == {*found}
    for name, tensor in looped.items():
        np.testing.assert_array_equal(found[name], tensor)
    merged = merge_adapter(scanned, stacked, tmp_path / "scanned")["params"]
    jax.tree.map(
        lambda x, y: assert_close(x, y, 1e-6), merged, stack_layers({"params": expected})["params"]
    )


def test_parts_of_one_tensor_have_their_ranks_one_after_the_other(tmp_path):
    written("gpt2", tmp_path)
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    packed = {f"transformer.h.{i}.attn.c_attn": 6 for i in (0, 1)}
    assert settings["rank_pattern"] == packed
    assert settings["alpha_pattern"] == dict.fromkeys(packed, 14.0)
    assert (settings["r"], settings["lora_alpha"]) == (3, 7.0)
    assert settings["fan_in_fan_out"] is True
    up = Tensors(tmp_path, "adapter_model.safetensors")[
        "base_model.model.transformer.h.0.attn.c_attn.lora_B.weight"
    ]
    # Outputs of queries, keys and values; ranks of queries and values.
    is_used = up.reshape(3, 36, 2, 3).any(axis=(1, 3))
    assert is_used.tolist() == [[True, False], [False, False], [False, True]]


def test_parts_that_are_trained_in_full_are_saved(tmp_path):
    config, variables, expected = written("bert classes", tmp_path, trained=("classifier",))
    settings = json.loads((tmp_path / "adapter_config.json").read_text())
    assert settings["modules_to_save"] == ["classifier"]
    found = merge_adapter(config, variables, tmp_path)["params"]["classifier"]
    jax.tree.map(np.testing.assert_array_equal, found, expected["classifier"])
    assert not np.array_equal(found["kernel"], variables["params"]["classifier"]["kernel"])


@pytest.mark.parametrize(
    ("name", "trained", "message"),
    [
        ("gpt2", ("embedding",), "embedding/table is also that of the logits"),
        ("bert tokens", ("token_bias",), "cls.predictions is trained only in part"),
        ("llama", ("bias",), "trained only in part, but PEFT saves whole modules"),
    ],
)
def test_what_peft_cannot_hold_is_refused_and_nothing_written(name, trained, message, tmp_path):
    with pytest.raises(UserError, match=message):
        written(name, tmp_path / "new", trained=trained)
    assert not (tmp_path / "new").exists()


def test_experts_have_no_place(tmp_path):
    with pytest.raises(UserError, match="is not one matrix, as PEFT needs it"):
        written("mixtral", tmp_path / "new")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"use_dora": True}, "use_dora is True, only False is read"),
        ({"r": 5}, "do not fit"),
        ({"r": 0}, r"adapter_config\.json: r is 0, not a positive whole number"),
        ({"r": True}, "r is True, not a positive whole number"),
        ({"lora_alpha": None}, "lora_alpha is None, not a number"),
        ({"lora_alpha": float("inf")}, "lora_alpha is inf, not a number"),
        ({"rank_pattern": [1]}, r"rank_pattern is \[1\], not an object"),
        ({"rank_pattern": {"q_proj": "4"}}, "rank_pattern of q_proj is '4', not a positive whole"),
        ({"alpha_pattern": {"q_proj": float("nan")}}, "alpha_pattern of q_proj is nan"),
        ({"rank_pattern": {"(": 4}}, r"rank_pattern has '\(', which is not read"),
        ({"rank_pattern": {"(a+)+": 4}}, "or regular expressions without repeated groups"),
    ],
)
def test_an_unknown_adapter_is_one_line(change, message, tmp_path):
    config, variables, _ = written("llama", tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=message):
        merge_adapter(config, variables, tmp_path)


def test_an_adapter_of_other_classes_is_refused(tmp_path):
    config, variables, _ = written("bert classes", tmp_path, trained=("classifier",))
    head = variables["params"]["classifier"]
    more = {name: np.concatenate([x, x], axis=-1) for name, x in head.items()}
    wider = {"params": {**variables["params"], "classifier": more}}
    with pytest.raises(UserError, match=r"of the adapter has the shape .*: give the model that"):
        merge_adapter(config, wider, tmp_path)


def test_tensors_without_a_use_are_named(tmp_path):
    written("gpt2", tmp_path)
    config = our_config("llama")
    with pytest.raises(UserError, match=r"tensors without a use: transformer\.h\.0"):
        merge_adapter(config, draw_variables("llama"), tmp_path)


def test_a_folder_without_adapters_is_refused(tmp_path):
    with pytest.raises(UserError, match="holds no run"):
        export_adapter(tmp_path / "none", tmp_path / "new")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="is not an empty folder: give another one"):
        export_adapter(tmp_path / "none", tmp_path)
