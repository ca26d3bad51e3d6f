"""Configs of published models, older and newer, and ours that no family can hold."""

import contextlib
import dataclasses

import pytest
from published_cases import CASES
from small_folders import our_config

from flax_transformer.errors import UserError
from flax_transformer.interchange import FAMILIES
from flax_transformer.interchange.config_fields import OUR_OWN, read_fields, write_fields

OLDER_KEYS = {
    "gpt2": {"n_ctx": 1024, "summary_type": "cls_index", "task_specific_params": {"a": {"b": 1}}},
    "bert tokens": {
        "directionality": "bidi",
        "pooler_fc_size": 768,
        "gradient_checkpointing": True,
    },
    "llama": {
        "rope_theta": 1e4,
        "rope_scaling": None,
        "is_llama_config": True,
        "pretraining_tp": 1,
    },
    "marian": {
        **{"_num_labels": 3, "add_bias_logits": False, "extra_pos_embeddings": 54},
        **{"normalize_before": False, "static_position_embeddings": True, "num_beams": 6},
        **{"bad_words_ids": [[52]], "num_hidden_layers": 6, "decoder_vocab_size": 53},
    },
    "mbart": {
        **{"normalize_before": True, "normalize_embedding": True, "add_final_layer_norm": True},
        **{"static_position_embeddings": False, "add_bias_logits": False, "num_beams": 5},
        **{"tokenizer_class": "MBart50Tokenizer", "early_stopping": True, "max_length": 200},
    },
    "m2m_100": {"encoder_layerdrop": 0.05, "num_hidden_layers": 12, "early_stopping": True},
    "modernbert": {
        **{"layer_types": None, "global_attn_every_n_layers": 3, "global_rope_theta": 160_000.0},
        **{"local_rope_theta": 1e4, "layer_norm_eps": 1e-5, "position_embedding_type": "absolute"},
        **{"deterministic_flash_attn": False, "reference_compile": None, "decoder_bias": True},
        **{"sparse_pred_ignore_index": -100, "sparse_prediction": False},
        **{"classifier_pooling": "mean", "initializer_cutoff_factor": 2.0, "mlp_dropout": 0.0},
    },
    "t5": {"n_positions": 512, "output_past": True},
    "gemma": {"hidden_act": "gelu", "hidden_activation": None},
    "smollm3": {
        **{"max_window_layers": 28, "pretraining_tp": 2, "rope_theta": 2e6, "rope_scaling": None},
        **{"layer_types": ["full_attention"] * 2, "no_rope_layers": [1, 0, 1]},
    },
    "mixtral": {"sliding_window": None, "output_router_logits": False, "rope_theta": 1e6},
}


@pytest.mark.parametrize("name", OLDER_KEYS)
def test_keys_of_published_configs_are_understood(name):
    family = FAMILIES[name.split()[0]]
    settings = {**CASES[name].settings, **OLDER_KEYS[name]}
    assert family.config(**read_fields(family.fields, settings, family.config)) == our_config(name)


def test_older_and_newer_keys_of_rotary_positions_are_the_same():
    family, case = FAMILIES["llama"], CASES["llama llama3"].settings
    newer = case["rope_parameters"]
    scaling = {k: v for k, v in newer.items() if k not in ("rope_theta", "rope_type")}
    older = {"rope_theta": newer["rope_theta"], "rope_scaling": {"type": "llama3", **scaling}}
    older |= {k: v for k, v in case.items() if k != "rope_parameters"}
    config = family.config(**read_fields(family.fields, older, family.config))
    assert config == our_config("llama llama3")
    assert config.rotary_scaling == "llama3"


@pytest.mark.parametrize(
    ("scaling", "message"),
    [
        ({"rope_type": "dynamic", "factor": 2.0}, "rope_type is dynamic, but only default, linear"),
        ({"rope_type": "llama3", "factor": 2.0}, "low_freq_factor, high_freq_factor of rope_type"),
        ({"rope_type": "linear", "factor": 2.0, "mscale": 3.0}, "mscale of rope_type linear is un"),
        ({"rope_type": "default", "partial_rotary_factor": 0.5}, "partial_rotary_factor is not 1"),
    ],
)
def test_an_unknown_scaling_of_rotary_positions_is_refused(scaling, message):
    family = FAMILIES["llama"]
    settings = {**CASES["llama"].settings, "rope_scaling": scaling}
    with pytest.raises(UserError, match=message):
        read_fields(family.fields, settings, family.config)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_config_of_another_family_has_a_place_or_is_refused(family):
    """With the values that all options of ours may have, and nothing but a UserError."""
    kind = FAMILIES[family].config
    configs = [kind(), *(config for name in CASES if type(config := our_config(name)) is kind)]
    changes = [{"attention_window": (4, None)}, {"key_dim": 5, "value_dim": 7}, {"norm": "batch"}]
    configs += [dataclasses.replace(kind(), **change) for change in changes]
    for config in configs:
        with contextlib.suppress(UserError):
            settings, config = write_fields(FAMILIES[family].fields, config)
            again = kind(**read_fields(FAMILIES[family].fields, settings, kind))
            own = {name: getattr(config, name) for name in OUR_OWN if hasattr(config, name)}
            own |= {name: getattr(config, name) for name in ("key_dim", "value_dim")}
            own["num_key_value_heads"] = config.num_key_value_heads
            assert again.head_dims() == config.head_dims()
            assert dataclasses.replace(again, **own) == config
