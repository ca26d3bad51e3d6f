"""`flax-transformer import`."""

import dataclasses
from pathlib import Path

from rich.console import Console
from tyro.conf import Positional

from flax_transformer.console import say
from flax_transformer.errors import UserError
from flax_transformer.interchange.imported_runs import describe, has_chat_template, import_folder
from flax_transformer.interchange.published_runs import open_published_run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Import:
    """Read a published model, so that every other command can use it.

    docs/guides/published_models.md lists the families. Parameters become float32.
    """

    model: Positional[str]
    """Folder with config.json, safetensors and the files of a tokenizer; or a model of Hugging
    Face's Hub, such as openai-community/gpt2; or a GGUF file."""
    workdir: Path | None = None
    """New folder for the model."""
    revision: str | None = None
    """Branch, tag or commit of a model of the Hub; by default its main branch."""
    source_language: str | None = None
    """Language of texts to translate, as the tokenizer of a model of several languages names it,
    such as eng_Latn in NLLB; by default that of its files."""
    target_language: str | None = None
    """Language of translations, likewise."""
    dry_run: bool = False
    """Only check names, shapes and settings, and say what the folder holds."""

    def run(self) -> None:
        """Imports the model and says what to do next."""
        console, languages = Console(), (self.source_language, self.target_language)
        if self.dry_run:
            run = open_published_run(self.model, None, self.revision, languages)
        elif self.workdir is None:
            raise UserError("--workdir is missing: give a new folder, or --dry-run")
        else:
            run = import_folder(
                self.model, self.workdir, revision=self.revision, languages=languages
            )
        for line in describe(run):
            say(console, line)
        if self.workdir is not None and not self.dry_run:
            say(console, "next, use it, or train on with --init-from:")
            command = f"{run.task.command}{' --chat' * has_chat_template(run)}"
            say(console, f'  flax-transformer {command} --workdir {self.workdir} "..."')
