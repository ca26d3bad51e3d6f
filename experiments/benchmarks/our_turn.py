"""One turn of our program, with the settings of our commands."""

from collections.abc import Callable

from peers.turn import Run, take_turn

from flax_transformer.runtime.process import keep_freed_memory, run_one_program_at_a_time


def take_our_turn(make: Callable[..., Run]) -> None:
    """Takes a turn in a process that handles memory like our commands.

    Compiled programs are not cached, so the compiler's memory counts, as it does for others.
    """
    keep_freed_memory()
    run_one_program_at_a_time()
    take_turn(make)
