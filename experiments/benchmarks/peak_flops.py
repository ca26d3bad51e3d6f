"""Peak speeds of accelerators in bfloat16, as their makers publish them."""

from typing import NamedTuple


class Peak(NamedTuple):
    """The peak speed of one device as JAX counts devices.

    Attributes:
        flops_per_second: of products of dense bfloat16 matrices, summed in float32.
        source: the publication of the maker.
    """

    flops_per_second: float
    source: str


_A100 = Peak(312e12, "NVIDIA A100 Tensor Core GPU datasheet")
# NVIDIA publishes the speed of its newer devices with sparsity, which is twice that of dense
# matrices.
_HOPPER = Peak(989.5e12, "NVIDIA H100 and H200 datasheets, SXM, half of the figure with sparsity")
_TPU = "cloud.google.com/tpu/docs"

PEAKS: dict[str, Peak] = {
    "NVIDIA A100-SXM4-40GB": _A100,
    "NVIDIA A100-SXM4-80GB": _A100,
    "NVIDIA A100-PCIE-40GB": _A100,
    "NVIDIA A100 80GB PCIe": _A100,
    "NVIDIA H100 80GB HBM3": _HOPPER,
    "NVIDIA H200": _HOPPER,
    "NVIDIA L4": Peak(121e12, "NVIDIA L4 datasheet, half of the figure with sparsity"),
    "TPU v4": Peak(275e12, f"{_TPU}/v4"),
    "TPU v5 lite": Peak(197e12, f"{_TPU}/v5e"),
    "TPU v5": Peak(459e12, f"{_TPU}/v5p"),
    "TPU v6 lite": Peak(918e12, f"{_TPU}/v6e"),
}
"""By `device_kind` of JAX. A kind that is not listed has no model FLOP utilization."""
