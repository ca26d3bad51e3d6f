"""Conventions: settings of "the same" Transformer in the paper and in four systems.

They differ in details that are rarely documented. Here each difference is a field of an experiment,
and a convention sets all of these fields. If a system has an option for a detail, the convention
uses the option's default, or the value of the documented Transformer recipe.
"""

import dataclasses
from typing import Any, NamedTuple

from flax_transformer.errors import UserError, unknown_part
from flax_transformer.experiment import Experiment
from flax_transformer.tasks.tasks import find_task


class Convention(NamedTuple):
    """Settings of one system.

    Attributes:
        description: the system and its version, in one line.
        fields: value of each field of an experiment, by the name of its option.
        sources: where each value is stated: a section, or a file of the system.
    """

    description: str
    fields: dict[str, Any]
    sources: dict[str, str]


FIELDS = {
    "model.positions": "sinusoidal has sine and cosine in turn; sinusoidal_halves all sines before "
    "all cosines, with slightly other wavelengths",
    "model.norm_placement": "normalization after each residual connection (post) or before each "
    "sublayer (pre)",
    "model.norm_epsilon": "constant that a normalization adds to the variance",
    "model.attention_bias": "biases in the projections of attention",
    "model.embedding_scaling": "sqrt(d_model) multiplies the embeddings (inputs), divides the "
    "logits (logits) or does neither (none)",
    "optimizer.b2": "Adam's decay of the mean squared gradient",
    "task.smoothing_over": "label smoothing spreads its mass over the whole vocabulary (vocab) "
    "or over all tokens except the target (others)",
    "decoding.length_penalty": "a beam search divides by ((5 + length) / 6)^alpha (gnmt) or by "
    "length^alpha (power)",
    "decoding.alpha": "exponent alpha of this penalty; equal values act differently in the two",
    "data.batch_scope": "the batch size is that of all devices together (all_devices) or of "
    "each device (device)",
}


def _convention(description: str, **parts: dict[str, tuple[Any, str]]) -> Convention:
    """Makes a convention from (value, source) by part and field."""
    stated = {
        f"{part}.{field}": pair for part, fields in parts.items() for field, pair in fields.items()
    }
    fields = {name: stated[name][0] for name in FIELDS}
    return Convention(description, fields, {name: stated[name][1] for name in FIELDS})


CONVENTIONS = {
    "paper": _convention(
        "Vaswani et al. 2017, Attention Is All You Need",
        model={
            "positions": ("sinusoidal", "section 3.5"),
            "norm_placement": ("post", "section 3.1"),
            "norm_epsilon": (1e-6, "not stated; that of t2t"),
            "attention_bias": (False, "section 3.2.2, whose projections are only matrices"),
            "embedding_scaling": ("inputs", "section 3.4"),
        },
        optimizer={"b2": (0.98, "section 5.3")},
        task={
            "smoothing_over": ("vocab", "section 5.4, by its reference: Szegedy et al. 2016"),
        },
        decoding={
            "length_penalty": ("gnmt", "section 6.1, by its reference: Wu et al. 2016"),
            "alpha": (0.6, "section 6.1"),
        },
        data={"batch_scope": ("all_devices", "section 5.1")},
    ),
    "t2t": _convention(
        "Tensor2Tensor, transformer_base (version 3)",
        model={
            "positions": ("sinusoidal_halves", "tensor2tensor/layers/common_attention.py"),
            "norm_placement": ("pre", "tensor2tensor/models/transformer.py"),
            "norm_epsilon": (1e-6, "tensor2tensor/layers/common_hparams.py"),
            "attention_bias": (False, "tensor2tensor/layers/common_attention.py"),
            "embedding_scaling": ("inputs", "tensor2tensor/layers/modalities.py"),
        },
        optimizer={"b2": (0.997, "tensor2tensor/models/transformer.py")},
        task={"smoothing_over": ("others", "tensor2tensor/layers/common_layers.py")},
        decoding={
            "length_penalty": ("gnmt", "tensor2tensor/utils/beam_search.py"),
            "alpha": (0.6, "tensor2tensor/utils/decoding.py"),
        },
        data={"batch_scope": ("device", "tensor2tensor/layers/common_hparams.py")},
    ),
    "fairseq": _convention(
        "fairseq, architecture transformer",
        model={
            # Its positions also begin at 2, after the id of its padding.
            "positions": (
                "sinusoidal_halves",
                "fairseq/modules/sinusoidal_positional_embedding.py",
            ),
            "norm_placement": ("post", "fairseq/models/transformer/transformer_config.py"),
            "norm_epsilon": (1e-5, "fairseq/modules/layer_norm.py"),
            "attention_bias": (True, "fairseq/modules/multihead_attention.py"),
            "embedding_scaling": ("inputs", "fairseq/models/transformer/transformer_encoder.py"),
        },
        # The option's default is 0.999.
        optimizer={"b2": (0.98, "examples/scaling_nmt/README.md")},
        task={
            "smoothing_over": ("others", "fairseq/criterions/label_smoothed_cross_entropy.py"),
        },
        decoding={
            "length_penalty": ("power", "fairseq/sequence_generator.py"),
            "alpha": (1.0, "fairseq/dataclass/configs.py"),
        },
        data={"batch_scope": ("device", "docs/getting_started.rst")},
    ),
    "flax": _convention(
        "Flax, examples/wmt",
        model={
            "positions": ("sinusoidal_halves", "examples/wmt/models.py"),
            "norm_placement": ("pre", "examples/wmt/models.py"),
            "norm_epsilon": (1e-6, "flax/linen/normalization.py"),
            "attention_bias": (False, "examples/wmt/models.py"),
            "embedding_scaling": ("logits", "examples/wmt/models.py"),
        },
        optimizer={"b2": (0.98, "examples/wmt/train.py")},
        task={"smoothing_over": ("others", "examples/wmt/train.py")},
        decoding={
            "length_penalty": ("gnmt", "examples/wmt/decode.py"),
            "alpha": (0.6, "examples/wmt/decode.py"),
        },
        data={"batch_scope": ("device", "examples/wmt/configs/default.py")},
    ),
    "opennmt": _convention(
        "OpenNMT-py 3, with the Transformer recipe of its FAQ",
        model={
            "positions": ("sinusoidal", "onmt/opts.py"),
            "norm_placement": ("pre", "onmt/encoders/transformer.py"),
            "norm_epsilon": (1e-6, "onmt/opts.py"),
            "attention_bias": (False, "onmt/opts.py"),
            "embedding_scaling": ("inputs", "onmt/modules/embeddings.py"),
        },
        # The option's default is 0.999.
        optimizer={"b2": (0.998, "docs/source/FAQ.md")},
        # The option's help says V - 1, but it calls PyTorch's loss, which divides by V.
        task={"smoothing_over": ("vocab", "onmt/utils/loss.py")},
        decoding={
            "length_penalty": ("power", "onmt/opts.py"),
            "alpha": (1.0, "onmt/opts.py"),
        },
        data={"batch_scope": ("device", "onmt/train_single.py")},
    ),
}


def apply_convention(experiment: Experiment, name: str) -> Experiment:
    """Replaces the fields of an experiment that a convention sets.

    Raises:
        UserError: if the convention is unknown, or the experiment is not a translation.

    Example:
        >>> apply_convention(Experiment(), "t2t").optimizer.b2
        0.997
    """
    if name not in CONVENTIONS:
        raise unknown_part("--convention", name, CONVENTIONS)
    task, _ = find_task(experiment)
    if task != "translation":
        raise UserError(
            f"--convention {name} is about translation, and this experiment is {task}: leave it out"
        )
    for path, value in CONVENTIONS[name].fields.items():
        part, field = path.split(".")
        config = dataclasses.replace(getattr(experiment, part), **{field: value})
        experiment = dataclasses.replace(experiment, **{part: config})
    return experiment
