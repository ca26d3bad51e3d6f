"""Training: optimizer, step, loop, checkpoints, devices."""

from typing import TYPE_CHECKING

from flax_transformer.lazy_names import lazy_names

if TYPE_CHECKING:
    from flax_transformer.training.assemble import TrainedRun, open_run
    from flax_transformer.training.training_on_tokens import TokenTraining, train_on_tokens

# Name -> the module that defines it, imported on first use.
_HOMES = {
    "open_run": ".assemble",
    "TokenTraining": ".training_on_tokens",
    "train_on_tokens": ".training_on_tokens",
    "TrainedRun": ".assemble",
}
__getattr__, __dir__ = lazy_names(__name__, _HOMES)
