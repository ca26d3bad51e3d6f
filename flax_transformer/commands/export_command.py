"""`flax-transformer export`."""

import dataclasses
from pathlib import Path
from typing import Literal

from rich.console import Console

from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import say
from flax_transformer.interchange.exported_runs import export_run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(OfWorkdir):
    """Write a trained model as a folder that Hugging Face's transformers loads.

    The folder has the model, its tokenizer, its search and a model card. The file format of the
    weights is safetensors.
    """

    out: Path
    """New folder."""
    family: str | None = None
    """Kind of model to write, such as llama; by default the first that can hold this model."""
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    """Type of the tensors."""

    def run(self) -> None:
        """Exports the model and says how to load it."""
        options = {"weights": self.weights, "family": self.family, "dtype": self.dtype}
        exported = export_run(self.workdir, self.out, **options)
        console = Console()
        say(console, f"{self.out} holds a {exported.family} model; in Python:")
        for line in exported.use:
            say(console, f"  {line}")
        for line in exported.differences:
            say(console, f"note: {line}")
