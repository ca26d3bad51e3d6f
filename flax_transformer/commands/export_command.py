"""`flax-transformer export`."""

import dataclasses
from pathlib import Path
from typing import Literal, get_args

from rich.console import Console

from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import say
from flax_transformer.errors import UserError, check_options, refuse
from flax_transformer.interchange.ctranslate2.exported_ctranslate2 import (
    NUM_TEXTS,
    WeightType,
    describe_engine,
    export_ctranslate2,
)
from flax_transformer.interchange.exported_adapters import export_adapter
from flax_transformer.interchange.exported_runs import export_run
from flax_transformer.interchange.programs.exported_page import describe_page, export_page
from flax_transformer.interchange.programs.exported_programs import describe, export_programs
from flax_transformer.training.checkpoints.workdir import Workdir

# Format -> types of its tensors, if it has several.
_TYPES = {
    "transformers": ("float32", "float16", "bfloat16"),
    "ctranslate2": get_args(WeightType),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(OfWorkdir):
    """Write a trained model for other systems, with its tokenizer.

    By default it is a folder that Hugging Face's transformers loads, with its search and a model
    card; the file format of the weights is safetensors. Other formats are programs that run without
    this package. They are run once, and their outputs are compared with the model's.
    """

    out: Path
    """New folder; of --format page, an HTML file."""
    format: Literal["transformers", "stablehlo", "onnx", "page", "ctranslate2"] = "transformers"
    """System that runs the model: transformers; stablehlo: JAX without Flax; onnx: onnxruntime,
    which needs the extra `onnx`; page: any browser, offline, by one HTML file, which needs the
    extra `page` to write; ctranslate2: translators and language models on CPUs, which needs the
    extra `ctranslate2`."""
    family: str | None = None
    """Kind of model of transformers to write, such as llama; by default the first that can hold
    this model."""
    dtype: Literal["float32", "float16", "bfloat16", "int8"] = "float32"
    """Type of the tensors: float32, float16 or bfloat16 with --format transformers, float32 or int8
    with ctranslate2; programs compute in float32."""
    adapter: bool = False
    """Write only what a training with --training.lora.rank has changed, for the package PEFT. Needs
    --weights best or last."""
    num_texts: int = NUM_TEXTS
    """ctranslate2: texts of the validation split with which its outputs are compared."""

    def run(self) -> None:
        """Exports the model and says how to load it."""
        self._check_options()
        if self.format == "ctranslate2":
            self._export_ctranslate2()
        elif self.format != "transformers":
            self._export_programs()
        elif self.adapter:
            self._export_adapter()
        else:
            self._export_model()

    def _check_options(self) -> None:
        """Rejects options of other formats than the chosen one."""
        check_options(self, "num_texts")
        is_folder, is_engine = self.format == "transformers", self.format == "ctranslate2"
        fitting = _TYPES.get(self.format, ("float32",))
        refuse(
            [
                (
                    self.family is not None and not is_folder,
                    f"--family {self.family} is for --format transformers: leave it out",
                ),
                (
                    self.adapter and not is_folder,
                    "--adapter is for --format transformers: leave it out",
                ),
                (
                    self.num_texts != NUM_TEXTS and not is_engine,
                    f"--num-texts {self.num_texts} is for --format ctranslate2: leave it out",
                ),
                (
                    self.dtype not in fitting,
                    f"--dtype {self.dtype} is not for --format {self.format}: give "
                    + " or ".join(fitting),
                ),
            ]
        )

    def _export_programs(self) -> None:
        if self.format == "page":
            page = export_page(self.workdir, self.out, weights=self.weights)
            lines = describe_page(self.out, page)
        else:
            exported = export_programs(self.workdir, self.out, self.format, weights=self.weights)
            lines = describe(self.out, exported)
        for line in lines:
            say(Console(), line)

    def _export_ctranslate2(self) -> None:
        assert self.dtype == "float32" or self.dtype == "int8"
        exported = export_ctranslate2(
            self.workdir,
            self.out,
            weights=self.weights,
            dtype=self.dtype,
            num_texts=self.num_texts,
        )
        for line in describe_engine(self.out, exported, self.dtype):
            say(Console(), line)

    def _export_adapter(self) -> None:
        if self.weights == "average":
            raise UserError(
                "--adapter needs --weights best or last: the mean of several adapters is not one"
            )
        if self.dtype != "float32":
            raise UserError(f"--dtype {self.dtype} is for a whole model: leave it out")
        base = Workdir(self.workdir).load().init_from
        family = export_adapter(self.workdir, self.out, weights=self.weights, family=self.family)
        say(Console(), f"{self.out} holds an adapter of the {family} model of {base}; in Python,")
        say(Console(), "where `model` is that model in transformers:")
        say(Console(), f'  peft.PeftModel.from_pretrained(model, "{self.out}")')

    def _export_model(self) -> None:
        options = {"weights": self.weights, "family": self.family, "dtype": self.dtype}
        exported = export_run(self.workdir, self.out, **options)
        console = Console()
        say(console, f"{self.out} holds a {exported.family} model; in Python:")
        for line in exported.use:
            say(console, f"  {line}")
        for line in exported.differences:
            say(console, f"note: {line}")
