"""The command line: the only file that parses one."""

import contextlib
import dataclasses
import io
import json
import runpy
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console
from tyro.conf import Positional, arg, subcommand

from flax_transformer.allocator import keep_freed_memory
from flax_transformer.console import say, show_scores, show_table
from flax_transformer.data.datasets import DATASETS
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError, unknown
from flax_transformer.experiment import Experiment
from flax_transformer.functional.positional import SCHEMES
from flax_transformer.models.presets import PRESETS, count_parameters
from flax_transformer.training.assemble import Weights, load
from flax_transformer.training.evaluate import evaluate
from flax_transformer.training.loop import NUM_SAMPLES, train
from flax_transformer.training.workdir import Workdir

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
# The vocabulary of the paper's English-German models, section 5.1.
LISTED_VOCAB_SIZE = 37_000


@dataclasses.dataclass(frozen=True)
class Train:
    """Train an experiment, or continue its interrupted training."""

    experiment_file: Positional[Path]
    """Python file that defines `experiment`, such as experiments/number_words.py."""
    workdir: Path
    """Folder of the run; the same command continues what it holds."""
    preset: str | None = None
    """Named model size in place of the experiment's; --model options still change it."""
    experiment: Annotated[Experiment, arg(name="")] = Experiment()

    def run(self) -> None:
        """Trains, scores the held-out split and says what to do next."""
        console = Console()
        train(self.experiment, self.workdir, console)
        record, scored = evaluate(
            self.workdir, self.experiment.data.held_out_split, command=sys.argv
        )
        show_scores(console, record)
        for line in scored.samples(NUM_SAMPLES):
            say(console, line)
        say(console, "next, translate text of your own:")
        say(
            console,
            f'  flax-transformer translate --workdir {self.workdir} "{scored.pairs[0].source}"',
        )


@dataclasses.dataclass(frozen=True)
class Evaluate:
    """Score a trained model on a split of its data set."""

    workdir: Path
    """Folder of a training."""
    split: str | None = None
    """Split to score; the held-out one if not given."""
    weights: Weights = "average"
    """The mean of the last checkpoints, the one with the best validation score, or the last."""
    json: bool = False
    """Print the record as JSON."""
    decoding: DecodingConfig = DecodingConfig()

    def run(self) -> None:
        """Prints the scores, which are also kept in the workdir."""
        split = self.split or Workdir(self.workdir).load().data.held_out_split
        record, _ = evaluate(
            self.workdir, split, command=sys.argv, weights=self.weights, decoding=self.decoding
        )
        if self.json:
            print(json.dumps(record.to_json(), indent=2, ensure_ascii=False))
        else:
            show_scores(Console(), record)
            say(Console(), f"kept in {Workdir(self.workdir).scores}")


@dataclasses.dataclass(frozen=True)
class Translate:
    """Translate texts, or the lines of standard input, one line out for each line in."""

    texts: Positional[tuple[str, ...]]
    """Texts to translate; standard input if there are none."""
    workdir: Path
    """Folder of a training."""
    weights: Weights = "average"
    """The mean of the last checkpoints, the one with the best validation score, or the last."""
    n_best: int | None = None
    """Translations of each text, the best first, one a line; decoding.num-best if not given."""
    scores: bool = False
    """Put each translation's score, the normalised log-probability, and a tab before it."""
    seed: int = 0
    """Of sampling, with --decoding.method sample."""
    decoding: DecodingConfig = DecodingConfig()

    def run(self) -> None:
        """Prints the translations."""
        decoding = self.decoding
        if self.n_best is not None:
            decoding = dataclasses.replace(decoding, num_best=self.n_best)
        translator = load(self.workdir, self.weights)
        for texts in [list(self.texts)] if self.texts else standard_input():
            for found in translator.translate_n_best(texts, decoding, seed=self.seed):
                for text, score in found:
                    line = text.replace("\n", " ")
                    print(f"{score:.4f}\t{line}" if self.scores else line, flush=True)


@dataclasses.dataclass(frozen=True)
class List:
    """List presets with counted parameters, data sets and positional schemes."""

    vocab_size: int = LISTED_VOCAB_SIZE
    """Tokens for which parameters are counted; the paper's English-German number by default."""
    json: bool = False
    """Print JSON."""

    def run(self) -> None:
        """Prints what can be chosen from."""
        if self.vocab_size < 1:
            raise UserError(f"vocab_size must be at least 1, not {self.vocab_size}")
        presets = {
            name: {
                "parameters": count_parameters(config, self.vocab_size),
                "layers": f"{config.num_encoder_layers}+{config.num_decoder_layers}",
                "d_model": config.d_model,
                "d_ff": config.d_ff,
                "heads": config.num_heads,
            }
            for name, config in PRESETS.items()
        }
        datasets = {name: dataset.description for name, dataset in DATASETS.items()}
        datasets["NAME/CONFIG"] = "any translation data set of TFDS, such as wmt14_translate/de-en"
        positions = {name: scheme.description for name, scheme in SCHEMES.items()}
        if self.json:
            listed = {"presets": presets, "datasets": datasets, "positions": positions}
            print(json.dumps({"vocab_size": self.vocab_size} | listed, indent=2))
            return
        console = Console()
        show_table(console, f"--preset, counted with {self.vocab_size:,} tokens", presets)
        for title, lines in {"--data.dataset": datasets, "--model.positions": positions}.items():
            rows = {name: {"description": description} for name, description in lines.items()}
            show_table(console, title, rows)


Command = (
    Annotated[Train, subcommand("train")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Translate, subcommand("translate")]
    | Annotated[List, subcommand("list")]
)


def main(argv: Sequence[str] | None = None) -> None:
    """Runs a command line; a user's mistake is one line on standard error and exit code 2."""
    words = list(sys.argv[1:] if argv is None else argv)
    warnings.showwarning = _show_warning
    keep_freed_memory()
    try:
        _parse(words).run()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(EXIT_USER_ERROR)
    except KeyboardInterrupt:
        print("interrupted: the same command continues a training", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone, as with `| head`: nobody is left to tell.
        sys.stderr.close()


def _parse(words: list[str]) -> Any:
    """Reads the command line into one of the commands."""
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                Command,  # pyright: ignore[reportArgumentType]
                default=_defaults(words),
                args=words,
                prog="flax-transformer",
                description="Train Transformers, score them and use them.",
            )
    except SystemExit as stop:
        if stop.code:
            raise UserError(_unframed(printed.getvalue())) from None
        raise


def _unframed(box: str) -> str:
    """Makes one line of the box in which tyro says what is wrong."""
    lines = [line.strip("│╭╮╰╯─ ") for line in box.splitlines()[1:]]
    # Without a terminal the box is drawn with hyphens, as rules between the lines.
    said = " ".join(line for line in lines if line.strip("-"))
    return said.partition(" For full helptext")[0]


def load_experiment(path: Path) -> Experiment:
    """Runs a Python file and takes its `experiment`.

    Raises:
        UserError: if there is no such file, it fails, or it defines no experiment.
    """
    if not path.is_file():
        near = [str(found) for found in sorted(path.parent.glob("*.py"))]
        if near:
            raise unknown("experiment file", str(path), near)
        raise UserError(f"no experiment file {path}: give a Python file that defines `experiment`")
    try:
        experiment = runpy.run_path(str(path)).get("experiment")
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{_place(error, path)}: {type(error).__name__}: {reason}; correct the file"
        ) from error
    if not isinstance(experiment, Experiment):
        raise UserError(f"{path} defines no `experiment = Experiment(...)`: add one")
    return experiment


def _place(error: Exception, path: Path) -> str:
    """The file and the line at which it failed; a SyntaxError names its line itself."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f"{path}, line {lines[-1]}" if lines else str(path)


def _defaults(words: list[str]) -> Any:
    """The command's values before its options are read: those of its experiment or workdir."""
    command, rest = (words[0], words[1:]) if words else ("", [])
    path = _experiment_file(rest)
    if command == "train" and path is None and not {"-h", "--help"} & set(rest):
        raise UserError(
            "no experiment file: give one, flax-transformer train experiments/number_words.py"
        )
    if command == "train" and path is not None:
        experiment = load_experiment(path)
        preset = _option(rest, "--preset")
        if preset is not None:
            if preset not in PRESETS:
                raise unknown("preset", preset, PRESETS)
            experiment = dataclasses.replace(experiment, model=PRESETS[preset])
        return Train(path, tyro.MISSING, experiment=experiment)
    workdir = _option(rest, "--workdir")
    if command in ("evaluate", "translate") and workdir is not None:
        decoding = Workdir(Path(workdir)).load().decoding
        if command == "evaluate":
            return Evaluate(Path(workdir), decoding=decoding)
        return Translate((), Path(workdir), decoding=decoding)
    return tyro.MISSING


def _experiment_file(words: list[str]) -> Path | None:
    """The one argument of `train`: the first word, or a Python file after some options."""
    for place, word in enumerate(words):
        if not word.startswith("-") and (place == 0 or word.endswith(".py")):
            return Path(word)
    return None


def _option(words: list[str], name: str) -> str | None:
    """The value of an option, before the command line as a whole can be read."""
    for place, word in enumerate(words):
        if word == name:
            return next(iter(words[place + 1 :]), None)
        if word.startswith(f"{name}="):
            return word.removeprefix(f"{name}=")
    return None


def standard_input() -> Iterator[list[str]]:
    """Gives the lines of standard input: one by one while a person types, else all at once.

    Raises:
        UserError: if a line is not UTF-8.
    """
    stream = sys.stdin.buffer
    if stream.isatty():
        yield from ([_decode(line, number)] for number, line in enumerate(stream, 1))
        return
    lines = stream.read().split(b"\n")
    if not lines[-1]:
        lines.pop()
    yield [_decode(line, number) for number, line in enumerate(lines, 1)]


def _decode(line: bytes, number: int) -> str:
    try:
        return line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise UserError(
            f"standard input, line {number}, is not UTF-8 ({error.reason} at byte {error.start}): "
            "convert it, for example with iconv"
        ) from error


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"warning: {message}", file=sys.stderr)
