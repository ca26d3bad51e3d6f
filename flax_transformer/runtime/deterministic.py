"""The same bits from the same training, twice on the same device."""

import os

_FLAG = "--xla_gpu_deterministic_ops=true"


def repeat_bits() -> None:
    """Makes GPUs compute the same bits in every run, at some cost of speed; for programs only.

    On a GPU, sums that many threads add up in any order, and kernels that are chosen by timing
    them, may differ in the last bits from run to run. XLA's flag excludes both. CPUs and TPUs
    repeat their bits without it; XLA knows the flag there too, while one that it does not know
    would end the process. To be called before JAX finds its devices. Random bits follow from the
    seed in any case.

    Reference:
        OpenXLA, "Determinism (GPU)", https://openxla.org/xla/determinism.
    """
    # Of two equal flags the later one counts: what was asked for last is what is meant.
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {_FLAG}".strip()
