"""Tables between the config of another system and ours, read in both directions."""

import dataclasses
import json
import math
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple, get_args, get_origin

from flax_transformer.errors import LARGEST_NUMBER, UserError, option

# Keys that every published config may have, and that say nothing about the function of a model.
# Whether logits are tied is read from the tensors.
COMMON_KEYS = frozenset(
    {
        # Of the folder.
        *("_name_or_path", "_num_labels", "architectures", "dtype", "model_type", "torch_dtype"),
        *(
            "transformers_version",
            "transformers.js_config",
            "tie_word_embeddings",
            "vocab_size",
            "is_encoder_decoder",
        ),
        # Ours: the scheme of the tables of positions.
        "fixed_positions",
        # Of the computation, of the training, and of classes.
        *("_attn_implementation", "attn_implementation", "chunk_size_feed_forward"),
        *("gradient_checkpointing", "output_attentions", "output_hidden_states", "output_past"),
        *("return_dict", "use_cache", "classifier_dropout", "finetuning_task", "init_std"),
        *("initializer_factor", "initializer_range", "id2label", "label2id", "num_labels"),
        *("problem_type", "task_specific_params"),
        # Of tokens.
        *("bos_token_id", "decoder_start_token_id", "eos_token_id", "forced_bos_token_id"),
        *("forced_eos_token_id", "pad_token_id", "prefix", "sep_token_id", "tokenizer_class"),
        # Of searches.
        *("bad_words_ids", "do_sample", "early_stopping", "length_penalty", "max_length"),
        *("min_length", "no_repeat_ngram_size", "num_beams", "repetition_penalty", "temperature"),
        *("top_k", "top_p"),
    }
)
# Our options that no other system needs: those of training and of the computation.
OUR_OWN = frozenset(
    {
        "attention_dropout_rate",
        "attention_implementation",
        "balancing_weight",
        "dtype",
        "feed_forward_dropout_rate",
        "remat",
        "residual_dropout_rate",
        "scan_layers",
        "tied_logits",
        "token_dropout_rate",
    }
)


# Options that add biases: with zeros in them, a model is the one without.
BIASES = ("attention_bias", "feed_forward_bias", "norm_bias", "logits_bias")


class NoPlaceError(UserError):
    """Lists what another system does not have.

    Attributes:
        things: options or parameters of ours, with what it has instead.
    """

    def __init__(self, things: Iterable[str]):
        self.things = tuple(things)
        super().__init__(", ".join(self.things))


class Field(NamedTuple):
    """Some keys of their config, and the options of ours that say the same.

    Attributes:
        keys: theirs.
        read: their config -> our options. A UserError says what cannot be taken.
        write: our config -> their keys.
    """

    keys: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    write: Callable[[Any], dict[str, Any]]


def takes(
    key: str,
    ours: str,
    default: Any = None,
    names: Mapping[Any, Any] | None = None,
) -> Field:
    """Makes the field of a key that has the meaning of one option of ours.

    Args:
        key: theirs.
        ours: name of our option.
        default: their value if the key is missing; None: it must be there.
        names: their values -> ours; None: they are the same.
    """

    def read(config: Mapping[str, Any]) -> dict[str, Any]:
        value = config.get(key, default)
        if value is None:
            raise UserError(f"{key} is missing: give it")
        if names is None:
            return {ours: value}
        if value not in names:
            raise UserError(f"{key} is {value}, but only {_listed(names)} are known")
        return {ours: names[value]}

    def write(config: Any) -> dict[str, Any]:
        value = getattr(config, ours)
        if names is None:
            return {key: value}
        theirs = [k for k, v in names.items() if v == value]
        if not theirs:
            known = _listed(dict.fromkeys(names.values()))
            raise UserError(f"{_option(ours)} {value} (only {known})")
        return {key: theirs[0]}

    return Field((key,), read, write)


def must(key: str, value: Any) -> Field:
    """Makes the field of a key that has one value in all models that we have; it may be missing."""

    def read(config: Mapping[str, Any]) -> dict[str, Any]:
        given = config.get(key, value)
        if given != value and not (is_empty(given) and is_empty(value)):
            raise UserError(f"{key} is {given}, but only {value} is known")
        return {}

    return Field((key,), read, lambda config: {} if is_empty(value) else {key: value})


def ignored(*keys: str) -> Field:
    """Makes the field of keys that do not change what a model computes from its inputs."""
    return Field(keys, lambda config: {}, lambda config: {})


def fixed(**ours: Any) -> Field:
    """Makes the field of our options that have one value in all of their models."""
    return Field((), lambda config: ours, lambda config: {})


def is_empty(value: Any) -> bool:
    """Returns whether a value of a config says nothing."""
    return value is None or value is False or value in ({}, [], "")


def has_type(value: Any, kind: Any) -> bool:
    """Returns whether a value may be that of an option; whole numbers are floats too.

    Example:
        >>> has_type(3, int | None), has_type(True, int), has_type((1.0, 2), tuple[float, float])
        (True, False, True)
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return value in arguments
    if isinstance(kind, types.UnionType):
        return any(has_type(value, argument) for argument in arguments)
    if origin is tuple:
        if type(value) is not tuple:
            return False
        inner = arguments[:1] * len(value) if Ellipsis in arguments else arguments
        return len(value) == len(inner) and all(map(has_type, value, inner))
    # JAX counts in 32 bits.
    is_small = type(value) is not int or abs(value) <= LARGEST_NUMBER
    return is_small and type(value) in ((int, float) if kind is float else (kind,))


def read_fields(fields: Iterable[Field], config: Mapping[str, Any], ours: type) -> dict[str, Any]:
    """Reads our options from their config.

    Args:
        fields: the table of the family.
        config: theirs.
        ours: class of our config.

    Raises:
        UserError: lists every key that is unknown, missing, or has a value that we do not have.

    Example:
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> fields = [takes("n_layer", "num_layers"), must("parallel", False)]
        >>> read_fields(fields, {"n_layer": 3}, DecoderOnlyConfig)
        {'num_layers': 3}
    """
    kinds = {field.name: field.type for field in dataclasses.fields(ours)}
    options, problems, known = {}, [], set(COMMON_KEYS)
    for field in fields:
        known.update(field.keys)
        keys = ", ".join(f"{key} is {config[key]!r}" for key in field.keys if key in config)
        try:
            read = field.read(config)
        except UserError as error:
            problems.append(str(error))
            continue
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            problems.append(f"{keys or ', '.join(field.keys)}: this cannot be read")
            continue
        for name, value in read.items():
            if has_type(value, kinds[name]):
                options[name] = float(value) if kinds[name] is float else value
            else:
                problems.append(f"{keys}: this cannot be {_option(name)}")
    unknown = [key for key in sorted(config.keys() - known) if not is_empty(config[key])]
    if unknown:
        they = f"{', '.join(unknown)} {'is' if len(unknown) == 1 else 'are'} unknown"
        problems.append(f"{they}: remove what does not change the outputs of the model")
    if problems:
        raise UserError("; ".join(problems))
    return options


def write_fields(fields: Iterable[Field], config: Any) -> tuple[dict[str, Any], Any]:
    """Writes their config for ours: the inverse of `read_fields`.

    Args:
        fields: the table of the family.
        config: ours.

    Returns:
        Their config, and ours with the biases that only their models have: where these are zero,
        the model is the same.

    Raises:
        NoPlaceError: lists every option of ours that their models do not have.
    """
    fields, theirs, problems = list(fields), {}, []
    for field in fields:
        try:
            theirs |= field.write(config)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise NoPlaceError(problems)
    # As a file holds it.
    theirs = json.loads(json.dumps(theirs))
    again = type(config)(**read_fields(fields, theirs, type(config)))
    biases = {name: True for name in BIASES if getattr(again, name, False)}
    config = dataclasses.replace(config, **biases)
    given, again = _explicit(config), _explicit(again)
    for field in dataclasses.fields(config):
        ours, held = getattr(given, field.name), getattr(again, field.name)
        if not _same(ours, held) and field.name not in OUR_OWN:
            problems.append(f"{_option(field.name)} {_shown(ours)} (only {_shown(held)})")
    if problems:
        raise NoPlaceError(problems)
    return theirs, config


def _same(ours: Any, held: Any) -> bool:
    """Compares numbers of which one was computed from the other."""
    both = isinstance(ours, float) and isinstance(held, float)
    return ours == held or (both and math.isclose(ours, held, rel_tol=1e-12))


def _explicit(config: Any) -> Any:
    """Returns a config with the numbers that an option means if it is not given."""
    key_dim, value_dim = config.head_dims()
    groups = config.num_key_value_heads or config.num_heads
    return dataclasses.replace(
        config, key_dim=key_dim, value_dim=value_dim, num_key_value_heads=groups
    )


def _option(name: str) -> str:
    return option(f"model.{name}")


def _shown(value: Any) -> str:
    return "none" if value is None else str(value)


def _listed(values: Iterable[Any]) -> str:
    return ", ".join(map(str, values))
