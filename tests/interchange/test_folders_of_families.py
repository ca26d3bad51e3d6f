"""What is exported is what is read again, for every family."""

import dataclasses
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict
from published_cases import CASES
from safetensors_of_tests import change_tensors
from small_folders import draw_variables, our_config, write_folder

from flax_transformer.errors import UserError
from flax_transformer.interchange import export_folder, exported_folders, parameters
from flax_transformer.interchange.safetensors_files import INDEX, SINGLE, Tensors
from flax_transformer.models import stack_layers

pytestmark = pytest.mark.platforms


def flat(variables: Any) -> dict[str, np.ndarray]:
    return {k: np.asarray(v) for k, v in flatten_dict(variables["params"], sep="/").items()}


def assert_same(actual: Any, expected: Any) -> None:
    actual, expected = flat(actual), flat(expected)
    assert actual.keys() == expected.keys()
    for path, array in expected.items():
        assert actual[path].dtype == array.dtype
        np.testing.assert_array_equal(actual[path], array)


@pytest.mark.parametrize("name", CASES)
def test_what_is_exported_is_read_again(name, tmp_path):
    config, variables = our_config(name), draw_variables(name)
    export_folder(config, variables, tmp_path, family=name.split()[0])
    again, module, read = parameters(tmp_path)
    assert again == config
    assert_same(read, variables)
    assert vars(module)["config"] == config


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_types_of_16_bits_are_kept_and_converted(tmp_path, dtype):
    variables = draw_variables("mixtral")
    export_folder(our_config("mixtral"), variables, tmp_path, dtype=dtype, family="mixtral")
    assert_same(parameters(tmp_path)[2], jax.tree.map(lambda x: jnp.asarray(x, dtype), variables))
    rounded = jax.tree.map(lambda x: np.asarray(jnp.asarray(x, dtype), np.float32), variables)
    assert_same(parameters(tmp_path, dtype="float32")[2], rounded)


def test_several_files_with_an_index_are_one_model(tmp_path, monkeypatch):
    monkeypatch.setattr(exported_folders, "LARGEST_FILE", 7_000)
    write_folder("gpt2", tmp_path)
    assert (tmp_path / INDEX).is_file()
    assert not (tmp_path / SINGLE).exists()
    assert len(list(tmp_path.glob("*.safetensors"))) > 3
    assert_same(parameters(tmp_path)[2], draw_variables("gpt2"))


def test_scanned_layers_are_exported_one_by_one(tmp_path):
    variables = draw_variables("gpt2")
    config = dataclasses.replace(our_config("gpt2"), scan_layers=True)
    export_folder(config, stack_layers(variables), tmp_path)
    assert_same(parameters(tmp_path)[2], variables)


def test_names_without_a_prefix_and_older_names_are_understood(tmp_path):
    write_folder("bert classes", tmp_path)

    def older(tensors):
        renamed = {
            name.removeprefix("bert.")
            .replace("LayerNorm.weight", "LayerNorm.gamma")
            .replace("LayerNorm.bias", "LayerNorm.beta"): array
            for name, array in tensors.items()
            if not name.startswith("classifier")
        }
        return renamed | {"embeddings.position_ids": np.arange(211)[None]}

    change_tensors(tmp_path, older)
    expected = draw_variables("bert classes")
    del expected["params"]["classifier"]
    assert_same(parameters(tmp_path)[2], expected)


@pytest.mark.parametrize("is_equal", [True, False])
def test_logits_are_tied_if_the_file_has_no_others(tmp_path, is_equal):
    write_folder("gpt2", tmp_path)

    def with_own(tensors):
        own = tensors["transformer.wte.weight"] + (0 if is_equal else 1)
        return tensors | {"lm_head.weight": own}

    change_tensors(tmp_path, with_own)
    config, _, variables = parameters(tmp_path)
    assert config.tied_logits is is_equal
    assert ("logits_table" in variables["params"]["embedding"]) is not is_equal


@pytest.mark.parametrize("is_equal", [True, False])
def test_a_copy_must_be_equal(tmp_path, is_equal):
    write_folder("bert tokens", tmp_path)

    def with_copy(tensors):
        copy = tensors["cls.predictions.bias"] + (0 if is_equal else 1)
        return tensors | {"cls.predictions.decoder.bias": copy}

    change_tensors(tmp_path, with_copy)
    if is_equal:
        assert_same(parameters(tmp_path)[2], draw_variables("bert tokens"))
    else:
        with pytest.raises(
            UserError, match=r"without a use: cls\.predictions\.decoder\.bias: get c"
        ):
            parameters(tmp_path)


def test_one_message_lists_all_that_does_not_fit(tmp_path):
    write_folder("gpt2", tmp_path)

    def damaged(tensors):
        del tensors["transformer.h.1.ln_1.bias"], tensors["transformer.wpe.weight"]
        tensors |= {"more": np.zeros(3, np.float32), "other": np.zeros(5, np.float32)}
        tensors["transformer.ln_f.bias"] = np.zeros((3, 5), np.float32)
        tensors["transformer.ln_f.weight"] = np.zeros(36, np.float64)
        return tensors

    change_tensors(tmp_path, damaged)
    with pytest.raises(UserError) as error:
        parameters(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} as a gpt2 model: missing: transformer.h.1.ln_1.bias, transformer.wpe.weight; "
        "without a use: more, other; transformer.ln_f.bias has the shape (3, 5) instead of (36,); "
        "transformer.ln_f.weight has the type F64: only F32, F16, BF16 are read: get config.json "
        "and the tensors of one model"
    )


def test_one_message_lists_all_of_a_config(tmp_path):
    write_folder("gpt2", tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    del settings["n_layer"]
    settings |= {"reorder_and_upcast_attn": True, "activation_function": "mish"}
    settings |= {"surprising": 3, "empty": None}
    (tmp_path / "config.json").write_text(json.dumps(settings))
    with pytest.raises(UserError) as error:
        parameters(tmp_path)
    assert str(error.value) == (
        f"{tmp_path} as a gpt2 model: n_layer is missing: give it; activation_function is mish, "
        "but only relu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, silu, swish are known; "
        "reorder_and_upcast_attn is True, but only False is known; surprising is unknown: remove "
        "what does not change the outputs of the model"
    )


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("gpt2", {"norm_placement": "post"}, r"gpt2 .* --model.norm-placement post \(only pre\)"),
        ("gpt2", {"activation": "swiglu"}, r"gpt2 cannot hold --model.activation swiglu \(only r"),
        ("t5", {"attention_scale": 0.5}, r"t5 cannot hold --model.attention-scale 0\.5 \(only 1"),
        ("bert tokens", {"convolution_width": 3}, r"--model.convolution-width 3 \(only none\)$"),
        ("mistral", {"rotary_base": (1e4, 1e5)}, r"mistral .* --model.rotary-base \(.*of all lay"),
    ],
)
def test_an_option_without_a_place_is_refused(tmp_path, name, change, message):
    config = dataclasses.replace(our_config(name), **change)
    family = name.split()[0]
    with pytest.raises(UserError, match=message):
        export_folder(config, draw_variables(name), tmp_path / "out", family=family)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "path", "array", "message"),
    [
        ("gpt2", "more/bias", np.zeros(3), r"gpt2 cannot hold parameter more/bias$"),
        (
            "gpt2",
            "decoder_norm/bias",
            None,
            r"gpt2 cannot hold a model without parameter decoder_norm/bias$",
        ),
        ("gpt2", "decoder_norm/bias", np.zeros(3), r"decoder_norm/bias of the shape \(3,\) \("),
        ("gpt2", "decoder_norm/bias", np.zeros(36), r"has the type float64: give a dtype$"),
    ],
)
def test_a_parameter_without_a_place_is_refused(tmp_path, name, path, array, message):
    params = draw_variables(name)["params"]
    *outer, last = path.split("/")
    inner = params
    for key in outer:
        inner = inner.setdefault(key, {})
    inner[last] = array
    if array is None:
        del inner[last]
    with pytest.raises(UserError, match=message):
        export_folder(
            our_config(name), {"params": params}, tmp_path / "out", family=name.split()[0]
        )
    assert not (tmp_path / "out").exists()


def test_biases_that_only_they_have_are_zero(tmp_path):
    without = {"attention_bias": False, "norm_bias": False, "feed_forward_bias": False}
    config = dataclasses.replace(our_config("gpt2"), **without)
    module = config.build(vocab_size=53)
    tokens = jnp.arange(7)[None]
    variables = module.init(jax.random.key(0), tokens)
    assert not [path for path in flat(variables) if path.endswith("bias")]
    assert export_folder(config, variables, tmp_path) == "gpt2"
    _, again, read = parameters(tmp_path)
    assert flat(read).keys() - flat(variables).keys()
    np.testing.assert_array_equal(again.apply(read, tokens), module.apply(variables, tokens))


def test_other_calls_that_cannot_be(tmp_path):
    config, variables = our_config("gpt2"), draw_variables("gpt2")
    with pytest.raises(UserError, match=r"unknown --family 'gtp2': did you mean 'gpt2'"):
        export_folder(config, variables, tmp_path, family="gtp2")
    with pytest.raises(UserError, match=r"unknown --dtype 'float8'"):
        export_folder(config, variables, tmp_path, dtype="float8")
    with pytest.raises(UserError, match=r"variables of batch_stats have no place"):
        export_folder(config, variables | {"batch_stats": {}}, tmp_path)
    with pytest.raises(
        UserError, match=r"^gpt2 cannot hold --model.norm batch \(only layer\); no o"
    ):
        export_folder(dataclasses.replace(config, norm="batch"), variables, tmp_path)
    with pytest.raises(
        UserError, match=r"^--family bert cannot hold this kind of model: give one of gpt2, llama, "
    ):
        export_folder(config, variables, tmp_path, family="bert")
    write_folder("gpt2", tmp_path)
    with pytest.raises(UserError, match=r"is not an empty folder: give another one$"):
        export_folder(config, variables, tmp_path)
    with pytest.raises(UserError, match=r"unknown --dtype 'int8'"):
        parameters(tmp_path, dtype="int8")


def test_tensors_are_views_of_the_file(tmp_path):
    tensors = Tensors(write_folder("gpt2", tmp_path))
    assert isinstance(tensors["transformer.wte.weight"].base, np.ndarray)
    assert not tensors["transformer.wte.weight"].flags.writeable
    assert len(tensors) == len(list(tensors)) == 28
