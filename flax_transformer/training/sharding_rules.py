"""How the parameters of every model are cut over a mesh of devices, by their paths."""

import re
from collections.abc import Mapping, Sequence

from flax_transformer.training.optimizer.parameter_paths import Path, is_stacked

Axes = tuple[str | None, ...]

# (the end of a parameter's path, the mesh axes of its array axes); the first with this end and this
# number of axes counts. The moments of an optimizer have the paths of their parameters.
RULES: tuple[tuple[str, Axes], ...] = (
    (r"embedding/(table|logits_table)", ("tensor", "fsdp")),
    (r"\w*attention/(query|key|value)/kernel", ("fsdp", "tensor", None)),
    (r"\w*attention/output/kernel", ("tensor", None, "fsdp")),
    (r"feed_forward/hidden/kernel", ("fsdp", "tensor")),
    (r"feed_forward/hidden/kernel", ("fsdp", None, "tensor")),  # gated
    (r"feed_forward/hidden/kernel", ("expert", "fsdp", None, "tensor")),  # of gated experts
    (r"feed_forward/output/kernel", ("tensor", "fsdp")),
    (r"feed_forward/output/kernel", ("expert", "tensor", "fsdp")),
    (r"embedding_convolution/kernel", (None, "fsdp", "tensor")),
    (r"(patch_embedding|tubelet_embedding)/kernel", (None, "fsdp")),
    (r"(pooler|token_transform)/kernel", ("fsdp", "tensor")),
    (r"classifier/kernel", ("fsdp", None)),
    (r"(source_|target_)?positions/table", (None, "fsdp")),
    (r"sentence_embedding/table", (None, "fsdp")),
)

# Small parameters, of which every device has a copy.
REPLICATED: tuple[str, ...] = (
    r"bias",
    r"scale",
    r"(query|key)_scale",
    r"class_token",
    r"scheme_table",
    r"(encoder|decoder)_positions/table",
    r"router/kernel",
)


def sharding_axes(path: Path, shape: Sequence[int], sizes: Mapping[str, int]) -> Axes:
    """Chooses the mesh axes over which a parameter is cut.

    Args:
        path: names of modules, and finally of the parameter; names before them do not matter.
        shape: of the parameter.
        sizes: of the mesh's axes.

    Returns:
        A mesh axis or None for each axis of the array. An array axis that its mesh axis does not
        divide is not cut.

    Example:
        >>> path = ("decoder_0", "self_attention", "query", "kernel")
        >>> sharding_axes(path, (512, 8, 64), {"fsdp": 4, "tensor": 16})
        ('fsdp', None, None)
    """
    leading = int(is_stacked(path))
    rule = find_rule(path, len(shape) - leading)
    if rule is None:
        return (None,) * len(shape)
    axes = (None,) * leading + rule
    return tuple(
        axis if axis is not None and size % sizes.get(axis, 1) == 0 else None
        for axis, size in zip(axes, shape, strict=True)
    )


def find_rule(path: Path, rank: int) -> Axes | None:
    """Returns the rule of a parameter without an axis of layers; None if it has none."""
    name = "/".join(path)
    for pattern, axes in RULES:
        if len(axes) == rank and re.search(rf"(^|/){pattern}$", name):
            return axes
    return None


def is_replicated(path: Path) -> bool:
    """Whether a parameter is listed as one of which every device has a copy."""
    return any(re.search(rf"(^|/){pattern}$", "/".join(path)) for pattern in REPLICATED)
