"""`flax-transformer generate`."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

from tyro.conf import Positional, UseAppendAction

from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError, check_number
from flax_transformer.line_batches import (
    LineBatch,
    answer_lines,
    is_pipe_or_file,
    is_terminal,
    json_line,
    line_batches,
)
from flax_transformer.models.model_config import ComputeType
from flax_transformer.tasks.text_scores import ScoredText
from flax_transformer.training.assemble import Weights, load_for

BETWEEN = "---"  # a line between two outputs


@dataclasses.dataclass(frozen=True)
class Generate:
    """Continue texts, or the lines of standard input, by a language model."""

    prompts: Positional[tuple[str, ...]]
    """Beginnings of texts; the lines of standard input if there are none. An empty beginning starts
    a new document; so does a terminal or /dev/null as standard input."""
    workdir: Path
    """Folder of a training."""
    weights: Weights = "average"
    """The mean of the last checkpoints, the one with the best validation score, or the last."""
    dtype: ComputeType | None = None
    """Type of the computation; the training's own if not given. bfloat16 takes half the time or
    less for products where the device can, with two to three significant digits."""
    length: int | None = None
    """Tokens to write; decoding.max-extra-length if not given."""
    num_samples: int | None = None
    """Continuations of each text; decoding.num-best if not given. With several, a line "--- INDEX"
    before each output gives the index of its prompt, from 0."""
    seed: int = 0
    """Of sampling, with --decoding.method sample."""
    json: bool = False
    """Print a line of JSON for each prompt: its index, from 0, the input, and the outputs, without
    the input, with their scores."""
    batch_lines: int = 1024
    """Maximum number of lines of standard input that are continued together; 1 answers each line at
    once. Fewer are taken if no more have arrived."""
    decoding: UseAppendAction[DecodingConfig] = DecodingConfig()

    def run(self) -> None:
        """Prints each beginning with what the model writes after it."""
        check_number("--seed", self.seed, 0)
        if self.length is not None:
            check_number("--length", self.length)
        decoding = self.decoding
        if self.num_samples is not None:
            decoding = dataclasses.replace(decoding, num_best=self.num_samples)
        batches = line_batches(self.prompts, self.batch_lines)
        generator = load_for("generate", self.workdir, self.weights, decoding, self.dtype)

        def generate(prompts: list[str], number: int) -> list[list[ScoredText]]:
            return generator.generate_n_best(
                prompts, length=self.length, seed=self.seed, first_line=number
            )

        answer_lines(self._or_begin(batches), generate, self._write)

    def _or_begin(self, batches: Iterator[LineBatch]) -> Iterator[LineBatch]:
        """The prompts, or one empty prompt if standard input is not a pipe or a file."""
        has_prompts = False
        if self.prompts or not is_terminal():
            for batch in batches:
                has_prompts = True
                yield batch
        if not has_prompts and not is_pipe_or_file():
            yield LineBatch(0, [""], False)

    def _write(self, index: int, prompt: str, found: list[ScoredText] | UserError) -> None:
        if self.json:
            print(json_line(index, prompt, found))
            return
        is_n_best = (self.num_samples or self.decoding.num_best) > 1
        texts = [] if isinstance(found, UserError) else [prompt + text for text, _ in found]
        for text in texts or [""]:
            if is_n_best:
                print(f"{BETWEEN} {index}")
            elif index:
                print(BETWEEN)
            print(text)
