"""Reads from a compiled program what its devices send to each other."""

import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

_BITS = {"pred": 8, "s4": 4, "u4": 4, "c64": 64, "c128": 128}
_KINDS = "all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute"
_COLLECTIVE = re.compile(rf"= (.*?) ({_KINDS})(-start)?\(")
_HEAD = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{\s*$")
_CALLED = re.compile(r"(calls|to_apply|body|branch_computations|\w+_computation)=(\{[^}]*\}|\S+)")
_TRIP_COUNT = re.compile(r'"known_trip_count":\{"n":"(\d+)"')
_DEFINED = re.compile(r"\s*(?:ROOT )?%?([\w.\-]+) = ")
_CHAIN = re.compile(r"channel_id=\d+(?=.*[{,]chain_id=)")
_CONSTANT = re.compile(r"= [su]\d+\[\]\S* constant\((\d+)\)")


class Collective(NamedTuple):
    """An operation by which devices exchange arrays.

    Attributes:
        kind: such as "all-gather".
        num_bytes: bytes of its results on one device, each time.
        largest: bytes of the largest of these arrays.
        in_loop: whether it is in the body of a loop.
        times: how often it runs in a step; None if a loop's number of iterations is not known.
        line: of the program.
    """

    kind: str
    num_bytes: int
    largest: int
    in_loop: bool
    times: int | None
    line: str


class Traffic(NamedTuple):
    """The collectives of one kind, either outside of loops or in loops.

    Attributes:
        operations: number of operations in the program.
        bytes_a_step: bytes of their results on one device in a step; None if it is not known how
            often they run.
        bytes_once: the same if each ran once.
    """

    operations: int
    bytes_a_step: int | None
    bytes_once: int


def find_collectives(text: str) -> Iterator[Collective]:
    """Yields the collectives of a compiled program.

    Args:
        text: the program in XLA's notation (HLO), as `compiled.as_text()` gives it.

    Example:
        >>> text = '''
        ... %add (a: f32[], b: f32[]) -> f32[] {
        ... }
        ... ENTRY %main (x: f32[8]) -> f32[8] {
        ...   %y = f32[8]{0} all-reduce(%x), to_apply=%add
        ... }'''
        >>> [(one.kind, one.num_bytes, one.in_loop, one.times) for one in find_collectives(text)]
        [('all-reduce', 32, False, 1)]
    """
    computations = _computations(text)
    runs = _runs(computations)
    # One that runs beside other work is written several times, once for each piece of this work.
    chains: dict[str, Collective] = {}
    for name, lines in computations.items():
        for line in lines:
            if found := _COLLECTIVE.search(line):
                sizes = _results(found[1], found[2], is_start=found[3] is not None)
                in_loop, times = runs(name)
                largest = max(sizes, default=0)
                one = Collective(found[2], sum(sizes), largest, in_loop, times, line)
                if chain := _CHAIN.search(line):
                    before = chains.setdefault(chain[0], one)
                    chains[chain[0]] = one if before.in_loop else before
                else:
                    yield one
    yield from chains.values()


def traffic(collectives: Iterable[Collective]) -> dict[tuple[str, bool], Traffic]:
    """Adds up collectives by their kind and whether they are in a loop.

    Example:
        >>> once = Collective("all-gather", 10, 10, True, 3, "")
        >>> traffic([once, once._replace(num_bytes=4)])
        {('all-gather', True): Traffic(operations=2, bytes_a_step=42, bytes_once=14)}
    """
    found: dict[tuple[str, bool], Traffic] = {}
    for one in collectives:
        key = one.kind, one.in_loop
        operations, in_step, once = found.get(key, Traffic(0, 0, 0))
        if in_step is not None:
            in_step = None if one.times is None else in_step + one.times * one.num_bytes
        found[key] = Traffic(operations + 1, in_step, once + one.num_bytes)
    return found


def _computations(text: str) -> dict[str, list[str]]:
    """Returns the lines of each computation; the entry comes last."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.splitlines():
        if head := _HEAD.match(line):
            lines = found.setdefault(head[1], [])
        else:
            lines.append(line)
    return found


def _runs(
    computations: dict[str, list[str]],
) -> Callable[[str], tuple[bool, int | None]]:
    """Makes the function from a computation to whether it is in a loop, and how often it runs."""
    callers: dict[str, list[tuple[str, bool, int | None]]] = {name: [] for name in computations}
    for caller, lines in computations.items():
        for line in lines:
            for word, names in _CALLED.findall(line):
                is_body = word == "body"
                times = _iterations(line, computations) if is_body else 1
                for name in re.findall(r"[\w.\-]+", names):
                    callers.get(name, []).append((caller, is_body, times))

    @functools.cache
    def runs(name: str) -> tuple[bool, int | None]:
        if not callers[name]:
            return False, 1
        in_loop, each = False, list[int]()
        for caller, is_body, times in callers[name]:
            outer_loop, outer = runs(caller)
            in_loop |= is_body or outer_loop
            if times is not None and outer is not None:
                each.append(times * outer)
        return in_loop, sum(each) if len(each) == len(callers[name]) else None

    return runs


def _iterations(line: str, computations: dict[str, list[str]]) -> int | None:
    """Returns how often a loop runs; None if it is not known.

    XLA for CPUs writes the number. Otherwise it follows from a counter that begins at 0, as in
    XLA's loops over layers and over parts of a product: its limit is the only constant of the
    condition, its step is what the body adds. A body may do the work of two iterations.
    """
    if known := _TRIP_COUNT.search(line):
        return int(known[1])
    condition, body = (
        computations.get(named[1], [])
        if (named := re.search(rf"{word}=%?([\w.\-]+)", line))
        else []
        for word in ("condition", "body")
    )
    compared = [one for one in condition if "direction=LT" in one and " compare(" in one]
    counters = re.findall(r"get-tuple-element\(.*index=(\d+)", "\n".join(condition))
    if len(compared) != 1 or len(counters) != 1:
        return None
    limit, step = _only_constant(condition), _step(body, int(counters[0]), computations)
    return -(-limit // step) if limit and step else None


def _only_constant(lines: Iterable[str]) -> int | None:
    constants = _CONSTANT.findall("\n".join(lines))
    return int(constants[0]) if len(constants) == 1 else None


def _step(body: list[str], counter: int, computations: dict[str, list[str]]) -> int | None:
    """Returns what the body of a loop adds to one of the values that it carries."""
    by_name = {found[1]: line for line in body if (found := _DEFINED.match(line))}
    results = next((line for line in body if line.lstrip().startswith("ROOT")), "")
    carried = _operands(results, "tuple")
    line = by_name.get(carried[counter], "") if counter < len(carried) else ""
    if added := _operands(line, "add"):
        return _only_constant(by_name.get(name, "") for name in added)
    if called := re.search(r" fusion\(.*calls=%?([\w.\-]+)", line):
        lines = computations.get(called[1], [])
        is_sum = any("ROOT" in one and " add(" in one for one in lines)
        return _only_constant(lines) if is_sum else None
    return None


def _operands(line: str, operation: str) -> list[str]:
    found = re.search(rf" {operation}\(([^)]*)\)", line)
    return re.findall(r"([\w.\-]+)(?=,|$)", re.sub(r"/\*.*?\*/", "", found[1])) if found else []


def _results(shape: str, kind: str, *, is_start: bool) -> list[int]:
    """Returns the bytes of each result; an operation that only starts also lists its inputs."""
    arrays = [
        (dtype, [int(size) for size in sizes.split(",") if size])
        for dtype, sizes in re.findall(r"(\w+)\[([\d,]*)\]", shape)
    ]
    if is_start and kind != "all-reduce":
        # (inputs, results, numbers of the exchange)
        arrays = [(dtype, sizes) for dtype, sizes in arrays if sizes or dtype != "u32"]
        arrays = arrays[len(arrays) // 2 :]
    return [-(-_bits(dtype) * math.prod(sizes) // 8) for dtype, sizes in arrays]


def _bits(dtype: str) -> int:
    if dtype in _BITS:
        return _BITS[dtype]
    # Such as bf16, s32, f8e4m3fn.
    number = re.search(r"\d+", dtype)
    return int(number[0]) if number else 0
