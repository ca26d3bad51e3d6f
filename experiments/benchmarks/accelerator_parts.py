"""The parts that `accelerator.py` measures: command, share of the time, and reading of output."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from peak_flops import PEAKS

from flax_transformer.models.table3 import PAPER_VOCAB_SIZE, table3

FOLDER = Path(__file__).parent
REPOSITORY = FOLDER.parents[1]
DTYPE = "bfloat16"
KERNEL_TESTS = "tests/functional/test_kernels.py"
# Several processes: what fails at a long length leaves the shorter ones.
LENGTHS = (32, 64, 128, 256, 512, 1024), (2048, 4096), (8192,)


class Part(NamedTuple):
    """A part of the measurement.

    Attributes:
        words: the arguments of Python.
        seconds: its share of the time.
        read: makes plain data of the standard output.
        headline: the most important figure in a few words; its arguments are the data and the kind
            of device.
        settings: environment variables, added to the user's.
    """

    words: list[str]
    seconds: float
    read: Callable[[str], dict[str, Any]]
    headline: Callable[[dict[str, Any], str], str]
    settings: Mapping[str, str] = {}


def make_parts(is_toy: bool) -> dict[str, Part]:
    """Returns the parts in their order: the device first, and the most expensive last."""
    groups = ((32, 64),) if is_toy else LENGTHS
    attention = {f"attention to {group[-1]:,}": _attention(group, is_toy) for group in groups}
    return {
        "device": Part(
            [str(FOLDER / "circumstances.py")], 25, json.loads, lambda data, _: data["device"]
        ),
        "training": _training(is_toy),
        "decoding greedy": _decoding(1, is_toy),
        "decoding beam 4": _decoding(4, is_toy),
        **attention,
        "kernels": _kernels(is_toy),
    }


def _script(name: str, **options: Any) -> list[str]:
    """The words that run a script of this folder, which prints JSON."""
    words = [str(FOLDER / name)]
    for field, value in options.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [f"--{field.replace('_', '-')}", *map(str, values)]
    return [*words, "--dtype", DTYPE, "--json"]


def _training(is_toy: bool) -> Part:
    sizes: dict[str, Any] = {"size": "big", "peak_size": 8192, "num_repeats": 10}
    if is_toy:
        sizes = {"size": "toy", "peak_size": 64, "num_repeats": 2}
    return Part(_script("train_step.py", num_turns=1, **sizes), 120, json.loads, _training_headline)


def _training_headline(data: dict[str, Any], kind: str) -> str:
    speed = training_speed(data, kind)
    if "model_flop_utilization" in speed:
        return f"model FLOP utilization {speed['model_flop_utilization']:.1%}"
    return f"{speed['flops_per_second'] / 1e12:.3g} TFLOP/s"


def training_speed(data: dict[str, Any], kind: str) -> dict[str, Any]:
    """Computes the speed of the training step from what `train_step.py` prints.

    Args:
        data: its JSON.
        kind: of the device, as JAX names it.

    Returns:
        Floating-point operations a second that the model needs; if the device's peak is known, also
        their share of it, the peak and its source.
    """
    ours = data["results"][0]
    speed = ours["flops"] / ours["seconds"]["median"]
    if kind not in PEAKS:
        return {"flops_per_second": speed}
    peak = PEAKS[kind]
    return {
        "flops_per_second": speed,
        "model_flop_utilization": speed / peak.flops_per_second,
        "peak": peak._asdict(),
    }


def _decoding(beam_size: int, is_toy: bool) -> Part:
    base = table3()["base"].model
    sizes: dict[str, Any] = {
        "num_sentences": 256,
        "batch": 128,
        "output_length": 32,
        "num_layers": base.num_decoder_layers,
        "d_model": base.d_model,
        "d_ff": base.d_ff,
        "num_heads": base.num_heads,
        "vocab_size": PAPER_VOCAB_SIZE,
        "num_repeats": 5,
    }
    if is_toy:
        small = (4, 4, 3, 1, 16, 32, 2, 300, 2)
        sizes = dict(zip(sizes, small, strict=True))
    words = _script("decode.py", beam_size=beam_size, num_turns=1, **sizes)
    return Part(words, 55, json.loads, _decoding_headline)


def _decoding_headline(data: dict[str, Any], _: str) -> str:
    return f"{data['results'][0]['tokens_per_second']['median']:,.0f} tokens/s"


def _attention(lengths: tuple[int, ...], is_toy: bool) -> Part:
    # As in base; as many tokens as in a batch of the paper, nearly.
    sizes: dict[str, Any] = {"tokens": 32_768, "num_heads": 8, "head_dim": 64, "peak_size": 8192}
    if is_toy:
        sizes = {"tokens": 128, "num_heads": 2, "head_dim": 8, "peak_size": 64}
    words = _script("attention.py", lengths=lengths, num_repeats=2 if is_toy else 10, **sizes)
    return Part(words, 35, json.loads, _attention_headline)


def _attention_headline(data: dict[str, Any], _: str) -> str:
    longest = data["options"]["lengths"][-1]
    figures = [
        f"{result['implementation']} {result['seconds']['median'] * 1e3:.3g} ms, "
        f"{result['temporary_bytes'] / 2**20:,.0f} MiB"
        for result in data["results"]
        if result["length"] == longest
    ]
    failed = [f"{failure['length']:,} {failure['implementation']}" for failure in data["failures"]]
    notes = [f"failed: {', '.join(failed)}"] if failed else []
    return "; ".join([*figures, *notes])


def _kernels(is_toy: bool) -> Part:
    words = ["-m", "pytest", "-n", "0", "-q", "-rf", "-p", "no:cacheprovider", KERNEL_TESTS]
    if is_toy:
        words += ["-k", "test_a_kernel_computes_its_formula and (softmax or top_k)"]
    # The tests allow 1e-5 in float32, and by default a GPU rounds the factors of products further.
    settings = {"JAX_DEFAULT_MATMUL_PRECISION": "float32"}
    return Part(words, 120, read_tests, lambda data, _: data["closing_line"], settings)


def read_tests(printed: str) -> dict[str, Any]:
    """Reads the closing line of pytest, and the names of the tests that failed.

    Raises:
        ValueError: if pytest printed no closing line.
    """
    lines = printed.strip().splitlines()
    closing = lines[-1].strip("= ") if lines else ""
    if not re.search(r"\d+ (passed|failed|error)", closing):
        raise ValueError("pytest printed no closing line")
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", printed, re.MULTILINE)
    return {"closing_line": closing, "failed_tests": failed}
