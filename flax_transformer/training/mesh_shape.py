"""The shape of a mesh of devices, as `--training.mesh` gives it."""

import math

from flax_transformer.errors import UserError, unknown

OPTION = "--training.mesh"
# data: copies of the model; fsdp: parts of it, and of the rows; tensor: parts of each product;
# expert: parts of the experts.
MESH_AXES: tuple[str, ...] = ("data", "fsdp", "tensor", "expert")
REST = -1


def parse_mesh(text: str, option: str = OPTION) -> dict[str, int]:
    """Reads the sizes of a mesh's axes; those not named have size 1.

    Args:
        text: such as "data=-1,fsdp=4"; -1, once, stands for all devices that are left.
        option: by which the user gave it.

    Returns:
        The size of each of `MESH_AXES`.

    Raises:
        UserError: if an axis or a size is unknown.

    Example:
        >>> parse_mesh("fsdp=4,data=-1")
        {'data': -1, 'fsdp': 4, 'tensor': 1, 'expert': 1}
    """
    sizes = dict.fromkeys(MESH_AXES, 1)
    named = []
    for part in text.split(","):
        axis, _, size = (word.strip() for word in part.partition("="))
        if axis not in MESH_AXES:
            raise unknown(option, axis, MESH_AXES)
        if axis in named:
            raise UserError(f"{option} {text} names {axis} twice: leave one out")
        if not size.removeprefix("-").isdecimal() or not (int(size) > 0 or int(size) == REST):
            raise UserError(f"{option} {text}: give {axis} a number of devices, or -1 for the rest")
        named.append(axis)
        sizes[axis] = int(size)
    if list(sizes.values()).count(REST) > 1:
        raise UserError(f"{option} {text}: only one axis may be -1, the devices that are left")
    return sizes


def mesh_sizes(text: str, num_devices: int, option: str = OPTION) -> dict[str, int]:
    """Returns the sizes of a mesh of a number of devices, which together use all of them.

    Raises:
        UserError: if the sizes need another number of devices.

    Example:
        >>> mesh_sizes("data=-1,fsdp=4", 8)
        {'data': 2, 'fsdp': 4, 'tensor': 1, 'expert': 1}
    """
    sizes = parse_mesh(text, option)
    given = math.prod(size for size in sizes.values() if size != REST)
    has_rest = REST in sizes.values()
    if num_devices % given or (not has_rest and given != num_devices):
        raise UserError(
            f"{option} {text} needs {'a multiple of ' if has_rest else ''}{given} devices, but "
            f"there are {num_devices}: change a size, or give data=-1 for the rest"
        )
    return {axis: num_devices // given if size == REST else size for axis, size in sizes.items()}
