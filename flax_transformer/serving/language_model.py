"""A language model that writes the texts of many requests together."""

from collections.abc import Callable, Sequence

import jax

from flax_transformer.errors import UserError
from flax_transformer.runtime.free_memory import free_memory
from flax_transformer.serving.batcher import ClosedError, FullError
from flax_transformer.serving.limits import LimitsConfig, RequestError
from flax_transformer.serving.running_batch import RunningBatch
from flax_transformer.serving.served_model import ServedModel
from flax_transformer.serving.text_writer import Sampling, TextWriter, WrittenTexts
from flax_transformer.tasks.language_modeling.continuation import Continuation
from flax_transformer.tasks.language_modeling.generator import Generator
from flax_transformer.training.assemble import TrainedRun


class ServedLanguageModel(ServedModel):
    """A loaded language model, and the texts that it writes.

    Args:
        name: see `ServedModel`.
        predictor: see `ServedModel`.
        limits: see `ServedModel`.

    Raises:
        UserError: if its cache does not fit the memory.
    """

    does = "generate"
    predictor: Generator

    def __init__(self, name: str, predictor: Generator, limits: LimitsConfig):
        super().__init__(name, predictor, limits)
        self.max_length = predictor.max_length
        sizes = {"max_length": self.max_length, "max_rows": limits.streams}
        self._batch = RunningBatch(
            predictor.model,
            predictor.variables,
            never_written=tuple(predictor.never_written),
            **sizes,
        )
        _check_memory(name, self._batch.num_bytes)
        end_ids = tuple(predictor.tokenizer.end_ids)
        self._writer = TextWriter(self._batch, capacity=limits.waiting, end_ids=end_ids, **sizes)

    def encode(self, prompt: str) -> list[int]:
        """Returns the tokens of a prompt.

        Raises:
            RequestError: if they are more than the model reads, or the text is not Unicode.
        """
        try:
            tokens = self.predictor.tokenizer.encode_prompt(prompt)
        except UserError as error:
            raise RequestError(422, str(error)) from error
        if len(tokens) > self.max_length:
            raise RequestError(
                413,
                f"a prompt has {len(tokens)} tokens, but {self.name} reads {self.max_length}: "
                "shorten it",
            )
        return tokens

    def write(
        self, prompts: Sequence[list[int]], length: int, copies: int, sampling: Sampling
    ) -> WrittenTexts:
        """Begins to write continuations; those of the first prompt come first.

        Args:
            prompts: tokens.
            length: largest number of tokens of each.
            copies: continuations of each prompt.
            sampling: of all.

        Raises:
            RequestError: if there are too many, too many wait, or the service ends.
        """
        number = len(prompts) * copies
        if number > self.limits.texts:
            raise RequestError(
                413, f"{number} texts are more than {self.limits.texts}: send several requests"
            )
        texts = [Continuation(list(ids), length, copy) for ids in prompts for copy in range(copies)]
        request = WrittenTexts(texts, sampling)
        try:
            self._writer.submit(request)
        except FullError as error:
            raise RequestError(429, "too many texts are waiting: try again later") from error
        except ClosedError as error:
            raise RequestError(503, "the service ends: ask it again later") from error
        return request

    @property
    def num_programs(self) -> int:
        """Number of sizes of the batch."""
        return self._batch.num_sizes

    def warm_up(self, done: Callable[[], None]) -> None:
        """Compiles the programs of all sizes."""
        self._batch.warm_up(done)

    @property
    def num_waiting(self) -> int:
        """Number of texts that wait."""
        return self._writer.num_waiting

    def close(self) -> None:
        """Writes what waits to its end, and takes nothing more."""
        self._writer.close()


def _check_memory(name: str, needed: int) -> None:
    """Rejects a cache that does not fit, before the system ends the process for it."""
    free = free_memory() if jax.default_backend() == "cpu" else None
    if free is not None and needed > free:
        raise UserError(
            f"{name} needs {needed / 1e9:.1f} GB for its largest cache, but only "
            f"{free / 1e9:.1f} GB are free: lower --limits.streams"
        )


def open_language_model(name: str, run: TrainedRun, limits: LimitsConfig) -> ServedLanguageModel:
    """Makes the served model of a trained language model."""
    return ServedLanguageModel(name, run.task.predictor(run.variables), limits)
