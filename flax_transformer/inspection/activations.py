"""A pass through a model in which activations are read and changed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import jax
from flax.traverse_util import flatten_dict, unflatten_dict
from jaxtyping import Array, PRNGKeyArray, Shaped

from flax_transformer.inspection.changes import Change, collection_of, patch_functions
from flax_transformer.inspection.names import matching, name_of
from flax_transformer.models.stacking import looped
from flax_transformer.modules.observe import ACTIVATIONS, PATCHES, UNASKED

# Arguments of a model: one array, several in order, or several by name.
Inputs: TypeAlias = Array | Sequence[Any] | Mapping[str, Any]
Method: TypeAlias = str | Callable[..., Any]
NOTHING: Mapping[str, Change] = MappingProxyType({})


class _Observed(NamedTuple):
    """Shapes of all activations by name, in the order of the modules, and their paths."""

    shapes: dict[str, jax.ShapeDtypeStruct]
    paths: dict[str, tuple[str, ...]]


def activations(
    model: Any,
    variables: Mapping[str, Any],
    inputs: Inputs,
    names: str | Iterable[str] = "*",
    *,
    patch: Mapping[str, Change] = NOTHING,
    method: Method = "__call__",
    dropout_rng: PRNGKeyArray | None = None,
) -> dict[str, Shaped[Array, "..."]]:
    """Computes activations of a model by name.

    A name is the path of a module and the activation's own name, such as
    "decoder.3.self_attention.weights"; docs/guides/inspection.md describes all. Scores and weights
    of attention, the hidden vectors of feed-forward networks, and the deviations of norms are held
    by no kernel: for those that are asked for, the formula is computed step by step.

    Args:
        model: a model of this package, with or without `scan_layers`.
        variables: of the model.
        inputs: its arguments; see `flax_transformer.inspection`.
        names: names, or patterns such as "decoder.3.*".
        patch: changes of activations; see `run_with`.
        method: of the model.
        dropout_rng: random key of the dropout, for a pass as in training; None: deterministic.

    Returns:
        Name -> activation.

    Raises:
        UserError: if a name matches no activation.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=2)
        >>> model, tokens = config.build(vocab_size=7), jnp.array([[3, 4, 5, 2]])
        >>> variables = model.init(jax.random.key(0), tokens)
        >>> found = activations(model, variables, tokens, "decoder.1.*.queries")
        >>> {name: value.shape for name, value in found.items()}
        {'decoder.1.self_attention.queries': (1, 4, 3, 2)}
    """
    model, variables = looped(model, variables)
    known = _observed(model, variables, inputs, method)
    chosen = matching(names, known.shapes)
    unasked = collection_of(dict.fromkeys(known.shapes.keys() - {*chosen}, True), known.paths)
    given = {**_with_patch(variables, patch, known), UNASKED: unasked}
    _, stored = _apply(model, given, inputs, method, dropout_rng, collects=True)
    flat: dict[tuple[str, ...], Any] = flatten_dict(stored[ACTIVATIONS])
    by_name = {name_of(path): value for path, value in flat.items()}
    return {name: by_name[name] for name in chosen}


def run_with(
    model: Any,
    variables: Mapping[str, Any],
    inputs: Inputs,
    patch: Mapping[str, Change],
    *,
    method: Method = "__call__",
    dropout_rng: PRNGKeyArray | None = None,
) -> Any:
    """Computes the outputs of a model with changed activations.

    A patch is a dictionary of names or patterns (see `activations`) and changes: a number or an
    array, which replaces the activation; a function of its value; or one of these within `At`, for
    some heads or positions only. So one line takes heads away (ablation), adds a vector (steering),
    or carries an activation from one input to another (activation patching):

        run_with(model, variables, inputs, {"decoder.*.self_attention.heads": At(0.0, heads=2)})
        run_with(model, variables, inputs, {"decoder.1.feed_forward_residual.residual": steer})
        run_with(model, variables, inputs, activations(model, variables, others, "encoder.1.*"))

    Args:
        model: see `activations`.
        variables: of the model.
        inputs: see `activations`.
        patch: the changes; of several entries for one activation, the last counts.
        method: of the model.
        dropout_rng: see `activations`.

    Returns:
        The outputs of the method.

    Raises:
        UserError: if a name matches no activation, or `At` does not fit one.
        ValueError: if a change gives another shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax_transformer.inspection.changes import At
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=2)
        >>> model, tokens = config.build(vocab_size=7), jnp.array([[3, 4, 5, 2]])
        >>> variables = model.init(jax.random.key(0), tokens)
        >>> patch = {"decoder.1.self_attention.heads": At(0.0, heads=1, positions=3)}
        >>> changed = run_with(model, variables, tokens, patch)
        >>> [bool(x) for x in jnp.any(changed != model.apply(variables, tokens), axis=(0, 2))]
        [False, False, False, True]

    Reference:
        Vig et al. 2020, "Investigating Gender Bias in Language Models Using Causal Mediation
        Analysis"; Wang et al. 2022, "Interpretability in the Wild" (path patching).
    """
    model, variables = looped(model, variables)
    given = patched(model, variables, inputs, patch, method=method)
    return _apply(model, given, inputs, method, dropout_rng)


def patched(
    model: Any,
    variables: Mapping[str, Any],
    inputs: Inputs,
    patch: Mapping[str, Change],
    *,
    method: Method = "__call__",
) -> dict[str, Any]:
    """Returns variables with which a model computes with changed activations, whoever calls it.

    So whole searches and scores can be computed without a head. Variables that are patched already
    keep their changes:

        translator = ft.load("runs/number_words")
        translator.variables = patched(translator.model, translator.variables, inputs, patch)

    Args:
        model: without `scan_layers`; see `models.looped`.
        variables: of the model.
        inputs: any of the model's, from which the names and shapes of activations are found. The
            patch must also fit the shapes of later calls: numbers, functions, and `At` without rows
            and positions do.
        patch: see `run_with`.
        method: of the model.

    Raises:
        UserError: see `run_with`.
        ValueError: if the layers are scanned, or an array does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=2)
        >>> model, tokens = config.build(vocab_size=7), jnp.array([[3, 4, 5, 2]])
        >>> variables = model.init(jax.random.key(0), tokens)
        >>> silent = patched(model, variables, tokens, {"logits": 0.0})
        >>> model.apply(silent, tokens[:, :1]).any().item()
        False
    """
    if model.config.scan_layers:
        raise ValueError("layers are scanned: pass the model and variables of models.looped")
    return _with_patch(variables, patch, _observed(model, variables, inputs, method))


def _with_patch(
    variables: Mapping[str, Any], patch: Mapping[str, Change], known: _Observed
) -> dict[str, Any]:
    """Adds changes to those that the variables have; of two for one activation, the new counts."""
    new = collection_of(patch_functions(patch, known.shapes), known.paths)
    flat = {**flatten_dict(variables.get(PATCHES, {})), **flatten_dict(new)}
    return {**variables, PATCHES: unflatten_dict(flat)}


def activation_shapes(
    model: Any, variables: Mapping[str, Any], inputs: Inputs, *, method: Method = "__call__"
) -> dict[str, jax.ShapeDtypeStruct]:
    """Returns the shape and type of every activation by name, without computing any.

    Args:
        model: see `activations`.
        variables: of the model, or their shapes.
        inputs: of the model, or their shapes.
        method: of the model.

    Example:
        >>> import jax.numpy as jnp
        >>> from flax_transformer.models import DecoderOnlyConfig
        >>> config = DecoderOnlyConfig(d_model=6, d_ff=5, num_heads=3, num_layers=2)
        >>> model, tokens = config.build(vocab_size=7), jnp.array([[3, 4, 5, 2]])
        >>> variables = model.init(jax.random.key(0), tokens)
        >>> activation_shapes(model, variables, tokens)["logits"].shape
        (1, 4, 7)
    """
    return _observed(model, variables, inputs, method).shapes


def _observed(
    model: Any, variables: Mapping[str, Any], inputs: Inputs, method: Method
) -> _Observed:
    paths: dict[str, tuple[str, ...]] = {}

    def collect(variables: Any, inputs: Any) -> dict[str, Array]:
        given = (*looped(model, variables), inputs, method, None)
        _, stored = _apply(*given, collects=True)
        flat: dict[tuple[str, ...], Any] = flatten_dict(stored.get(ACTIVATIONS, {}))
        # Here, because JAX sorts the keys of what is returned.
        paths.update({name_of(path): path for path in flat})
        return {name_of(path): value for path, value in flat.items()}

    shapes = jax.eval_shape(collect, variables, inputs)
    return _Observed({name: shapes[name] for name in paths}, paths)


def _apply(
    model: Any,
    variables: Mapping[str, Any],
    inputs: Inputs,
    method: Method,
    dropout_rng: PRNGKeyArray | None,
    collects: bool = False,
) -> Any:
    positional, named = _arguments(inputs)
    options: dict[str, Any] = {"deterministic": dropout_rng is None, "method": method}
    if dropout_rng is not None:
        options["rngs"] = {"dropout": dropout_rng}
    # In training, batch normalization writes its statistics, which are discarded here.
    changed = [] if dropout_rng is None else [x for x in variables if x not in _CONSTANT]
    mutable = [ACTIVATIONS, *changed] if collects else changed
    result = model.apply(variables, *positional, **named, **options, mutable=mutable)
    return result if collects else result[0]


_CONSTANT = ("params", PATCHES, UNASKED)


def _arguments(inputs: Inputs) -> tuple[Sequence[Any], Mapping[str, Any]]:
    if isinstance(inputs, Mapping):
        return (), inputs
    return (inputs if isinstance(inputs, tuple | list) else (inputs,)), {}
