"""The description of a family of published models."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flax_transformer.interchange.config_fields import Field
from flax_transformer.interchange.rules import Rule


class Family(NamedTuple):
    """How the models of one `model_type` are represented by one of our models.

    Attributes:
        config: class of our config.
        fields: the table of their config.
        rules: our config -> the rules of all tensors, with those of heads that a folder may lack.
        architectures: part of a model (see `Rule.part`) -> the class of `transformers` that has it;
            of several parts, the first listed one counts. The empty name is the body.
        prefix: beginning of the names of the body's tensors; a folder with only a body lacks it.
        own_logits: name of the matrix of logits; without it, or if it is equal to the embeddings,
            logits are tied.
        copies: patterns of names of tensors, and the tensor that they are equal to.
        unused: patterns of names of tensors that the model does not need.
        renamed: patterns of older names, and their replacements.
        fixed_tables: names of tensors with fixed positions, of the encoder and of the decoder. They
            are not parameters of ours: whether a folder has them, and which scheme they hold, is
            read from the tensors.
        computed_positions: the scheme of a folder without these tables.
    """

    config: type
    fields: tuple[Field, ...]
    rules: Callable[[Any], list[Rule]]
    architectures: Mapping[str, str]
    prefix: str = ""
    own_logits: str | None = None
    copies: Mapping[str, str] = {}
    unused: tuple[str, ...] = ()
    renamed: Mapping[str, str] = {}
    fixed_tables: tuple[str, ...] = ()
    computed_positions: str = "learned"
