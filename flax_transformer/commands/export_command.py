"""`flax-transformer export`."""

import dataclasses
from pathlib import Path
from typing import Literal

from rich.console import Console

from flax_transformer.commands.trained_model import OfWorkdir
from flax_transformer.console import say
from flax_transformer.errors import UserError, check_options
from flax_transformer.interchange.ctranslate2.exported_ctranslate2 import (
    describe_engine,
    export_ctranslate2,
)
from flax_transformer.interchange.exported_adapters import export_adapter
from flax_transformer.interchange.exported_runs import export_run
from flax_transformer.interchange.programs.exported_page import describe_page, export_page
from flax_transformer.interchange.programs.exported_programs import describe, export_programs
from flax_transformer.training.checkpoints.workdir import Workdir


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
    num_texts: int = 100
    """ctranslate2: texts of the validation split with which its outputs are compared."""

    def run(self) -> None:
        """Exports the model and says how to load it."""
        check_options(self, "num_texts")
        if self.format == "ctranslate2":
            self._export_ctranslate2()
        elif self.format != "transformers":
            self._export_programs()
        elif self.adapter:
            self._export_adapter()
        else:
            self._export_model()

    def _export_programs(self) -> None:
        given = {"--family": self.family, "--adapter": self.adapter or None}
        if self.dtype != "float32":
            given["--dtype"] = self.dtype
        for name, value in given.items():
            if value is not None:
                option = name if value is True else f"{name} {value}"
                raise UserError(f"{option} is for --format transformers: leave it out")
        if self.format == "page":
            page = export_page(self.workdir, self.out, weights=self.weights)
            lines = describe_page(self.out, page)
        else:
            exported = export_programs(self.workdir, self.out, self.format, weights=self.weights)
            lines = describe(self.out, exported)
        for line in lines:
            say(Console(), line)

    def _export_ctranslate2(self) -> None:
        for name, value in {"--family": self.family, "--adapter": self.adapter or None}.items():
            if value is not None:
                option = name if value is True else f"{name} {value}"
                raise UserError(f"{option} is for --format transformers: leave it out")
        if self.dtype in ("float16", "bfloat16"):
            raise UserError(
                f"--dtype {self.dtype} is for --format transformers: give float32 or int8"
            )
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
