"""`flax-transformer generate`."""

import dataclasses
import sys
from pathlib import Path

from tyro.conf import Positional, UseAppendAction

from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.models.config import ComputeType
from flax_transformer.training.assemble import Weights, load_for

BETWEEN = "---"  # lines between two outputs


@dataclasses.dataclass(frozen=True)
class Generate:
    """Continue texts by a language model."""

    prompts: Positional[tuple[str, ...]]
    """Beginnings; without any, a document is begun."""
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
    """Continuations of each text; decoding.num-best if not given."""
    seed: int = 0
    """Of sampling, with --decoding.method sample."""
    decoding: UseAppendAction[DecodingConfig] = DecodingConfig()

    def run(self) -> None:
        """Prints each beginning with what the model writes after it."""
        decoding = self.decoding
        if self.num_samples is not None:
            decoding = dataclasses.replace(decoding, num_best=self.num_samples)
        generator = load_for("generate", self.workdir, self.weights, decoding, self.dtype)
        prompts = self.prompts or ("",)
        found = generator.generate(prompts, length=self.length, seed=self.seed)
        texts = [
            prompt + text
            for prompt, several in zip(prompts, found, strict=True)
            for text in several
        ]
        sys.stdout.write(f"\n{BETWEEN}\n".join(texts) + "\n")
