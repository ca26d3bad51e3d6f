"""An experiment: one frozen dataclass that composes the configs of the parts."""

import dataclasses
from typing import Any

import cattrs

from flax_transformer.data.datasets import DataConfig
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError
from flax_transformer.functional.positional import SCHEMES
from flax_transformer.models.encoder_decoder import EncoderDecoderConfig
from flax_transformer.models.presets import PRESETS
from flax_transformer.tasks.translation import TranslationConfig
from flax_transformer.training.config import TrainingConfig
from flax_transformer.training.optimizer import OptimizerConfig


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that decides the outcome of a training."""

    data: DataConfig = DataConfig()
    model: EncoderDecoderConfig = PRESETS["tiny"]
    task: TranslationConfig = TranslationConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    training: TrainingConfig = TrainingConfig()
    decoding: DecodingConfig = DecodingConfig()
    seed: int = 0
    """Of the first parameters, of dropout and of the order of the data."""

    def __post_init__(self) -> None:
        """Refuses parts that do not fit each other."""
        has_table = SCHEMES[self.model.positions].has_table
        if has_table and self.data.max_length > self.model.max_positions:
            raise UserError(
                f"data.max_length {self.data.max_length} exceeds model.max_positions "
                f"{self.model.max_positions}, the rows of the table of positions: raise it"
            )

    def to_json(self) -> dict[str, Any]:
        """Gives the experiment as plain data."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Experiment":
        """Makes an experiment of what `to_json` gave.

        Raises:
            UserError: if a field is unknown or has a value of another type.
        """
        converter = cattrs.Converter(forbid_extra_keys=True)
        try:
            return converter.structure(data, cls)
        except (cattrs.BaseValidationError, cattrs.StructureHandlerNotFoundError) as error:
            reasons = "; ".join(cattrs.transform_error(error))
            raise UserError(f"not an experiment of this version: {reasons}") from error
