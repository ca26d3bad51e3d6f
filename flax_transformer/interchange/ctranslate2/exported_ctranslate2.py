"""Export of a trained model as a folder of CTranslate2."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import tokenizers

from flax_transformer.data.tokens.special_tokens import WHOLE
from flax_transformer.decoding.search import DecodingConfig
from flax_transformer.errors import UserError, option, unknown
from flax_transformer.interchange.ctranslate2.ctranslate2_agreement import (
    Agreement,
    Engine,
    compare_searches,
)
from flax_transformer.interchange.ctranslate2.ctranslate2_layers import make_spec
from flax_transformer.interchange.ctranslate2.ctranslate2_options import check_options
from flax_transformer.interchange.exported_folders import write_json
from flax_transformer.interchange.exported_runs import files_of_task
from flax_transformer.interchange.generation_settings import differences
from flax_transformer.interchange.model_card import Run
from flax_transformer.models.stacking import looped
from flax_transformer.training.assemble import Weights, open_run
from flax_transformer.whole_files import written_whole_folder

FORM = "ctranslate2"
# Arguments of `translate_batch` or `generate_batch` for the search of the training.
SEARCH = "search.json"
WeightType = Literal["float32", "int8"]
# Texts that both systems read.
NUM_TEXTS = 100
# Options of a search that have another meaning there, or none.
NOT_WRITTEN = ("repetition_penalty", "no_repeat_ngram_size", "min_length")


class ExportedEngine(NamedTuple):
    """What was written.

    Attributes:
        version: of CTranslate2.
        is_translator: whether `Translator` reads the folder; else `Generator` does.
        agreement: of its searches with ours.
        differences: what it searches for in another way.
    """

    version: str
    is_translator: bool
    agreement: Agreement
    differences: list[str]


def export_ctranslate2(
    workdir: str | Path,
    out: str | Path,
    *,
    weights: Weights = "average",
    dtype: WeightType = "float32",
    num_texts: int = NUM_TEXTS,
) -> ExportedEngine:
    """Writes a translator or a language model for CTranslate2, runs it, and compares its outputs.

    The folder holds model.bin, config.json and the vocabulary, as CTranslate2 reads them, the files
    of the tokenizer, and search.json, the arguments of its search.

    Args:
        workdir: folder of a training, or of an import.
        out: a new or an empty folder.
        weights: see `ft.load`.
        dtype: type of the matrices, float32 or int8.
        num_texts: texts of the validation split that both systems read; if the split is not there,
            they read random tokens.

    Raises:
        UserError: if CTranslate2 is not installed or does not hold the model, or if in float32 the
            outputs of a greedy search differ. Nothing is written then.
    """
    if dtype not in get_args(WeightType):
        raise unknown("--dtype", dtype, get_args(WeightType))
    package = import_ctranslate2()
    run: Run = open_run(Path(workdir), weights, dtype="float32")
    gives, reads = run.task.takes[1], run.task.takes[0]
    if reads != "tokens" or gives not in ("target_tokens", "next_tokens"):
        raise UserError(
            f"--format {FORM} is for translators and language models, but {workdir} holds a model "
            f"to {run.task.command} {reads}: give --format onnx or --format stablehlo"
        )
    check_options(run.experiment.model)
    with written_whole_folder(Path(out), "--out") as folder:
        files = files_of_task(run)
        names = vocabulary(run.task.tokenizer, files)
        write_engine(package, folder, run, names, dtype)
        for file, contents in files.items():
            (folder / file).write_bytes(contents)
        write_json(folder / SEARCH, search_arguments(run, names))
        engine = Engine(package, folder, run.task.tokenizer, names, gives == "target_tokens")
        agreement = compare_searches(run, engine, num_texts, is_rounded=dtype != "float32")
        if dtype == "float32" and agreement.differs:
            raise UserError(
                f"--format {FORM} computes something else: only {agreement.greedy.num_equal} of "
                f"{agreement.number} outputs of a greedy search are equal; nothing is written: "
                "report this model as a bug"
            )
    notes = _differences(run.experiment.decoding, run.task.tokenizer, names)
    return ExportedEngine(package.__version__, gives == "target_tokens", agreement, notes)


def import_ctranslate2() -> Any:
    """Imports the package, which is an extra."""
    try:
        return importlib.import_module("ctranslate2")
    except ImportError:
        raise UserError(
            f"--format {FORM} needs the package ctranslate2, which is not installed: run pip "
            "install 'flax_transformer[ctranslate2]'"
        ) from None


def vocabulary(tokenizer: Any, files: Mapping[str, bytes]) -> list[str]:
    """Returns the name of every id, as the exported tokenizer names it.

    Rows of a published model's table without a token get names of their own.

    Args:
        tokenizer: of the model.
        files: of the exported tokenizer.
    """
    if WHOLE in files:
        ids = tokenizers.Tokenizer.from_str(files[WHOLE].decode()).get_vocab()
    else:
        ids = tokenizer.ids()
    names = {number: name for name, number in ids.items()}
    for number in range(tokenizer.vocab_size):
        name = f"<{number}>"
        while number not in names and name in ids:
            name = f"<{name}>"
        names.setdefault(number, name)
    return [names[number] for number in range(tokenizer.vocab_size)]


def write_engine(package: Any, folder: Path, run: Run, names: list[str], dtype: str) -> None:
    """Writes model.bin, config.json and the vocabulary.

    Args:
        package: ctranslate2.
        folder: to write into.
        run: a model that `check_options` accepts.
        names: of the ids.
        dtype: float32 or int8.
    """
    tokenizer, experiment = run.task.tokenizer, run.experiment
    model, variables = looped(run.task.model, run.variables)
    longest = experiment.data.max_length + experiment.decoding.max_extra_length
    longest = max(longest, model.config.max_positions)
    spec = make_spec(package, model.config, variables, longest)
    unknown_id = tokenizer.special.unk
    spec.config.unk_token = names[tokenizer.pad_id if unknown_id is None else unknown_id]
    spec.config.eos_token = names[tokenizer.end_ids[0]]
    if run.task.takes[1] == "target_tokens":
        spec.register_source_vocabulary(names)
        spec.register_target_vocabulary(names)
        first = names[tokenizer.start_ids[0]]
        spec.config.bos_token = spec.config.decoder_start_token = first
    else:
        spec.register_vocabulary(names)
        # The end mark begins a text, as in our training.
        spec.config.bos_token = names[tokenizer.encode_prompt("")[0]]
    spec.validate()
    spec.optimize(quantization=dtype)
    spec.save(str(folder))


def search_arguments(run: Run, names: list[str]) -> dict[str, Any]:
    """Returns the arguments of `translate_batch` or `generate_batch` for the model's search.

    Args:
        run: the model.
        names: of its ids.
    """
    decoding, task = run.experiment.decoding, run.task
    is_translator = task.takes[1] == "target_tokens"
    arguments: dict[str, Any] = {"beam_size": 1}
    if decoding.method == "beam":
        arguments = {"beam_size": decoding.beam_size, "length_penalty": decoding.alpha}
    if decoding.method == "sample":
        arguments["sampling_topk"] = decoding.top_k or 0
        arguments["sampling_topp"] = 1.0 if decoding.top_p is None else decoding.top_p
        arguments["sampling_temperature"] = decoding.temperature
    extra, limit = decoding.max_extra_length, run.experiment.data.max_length
    longest, position_limit = extra, run.experiment.model.position_limit()
    if is_translator:
        longest = min(limit + extra, position_limit or limit + extra)
        arguments |= {"max_decoding_length": longest, "min_decoding_length": 0}
        arguments["max_input_length"] = limit
    else:
        arguments |= {"max_length": extra, "include_prompt_in_result": False}
    arguments["end_token"] = [names[number] for number in task.tokenizer.end_ids]
    never = task.predictor(run.variables).never_written
    arguments["suppress_sequences"] = [[names[number]] for number in never] or None
    return arguments


def describe_engine(out: Path, exported: ExportedEngine, dtype: str) -> list[str]:
    """Returns lines that say what a folder holds, how far it agrees, and how to use it."""
    kind = "Translator" if exported.is_translator else "Generator"
    return [
        f"{out} holds a model in {dtype} for ctranslate2.{kind}, written by CTranslate2 "
        f"{exported.version}",
        *exported.agreement.lines(),
        *(f"note: {line}" for line in exported.differences),
        f"{SEARCH} there has the arguments of its search; docs/guides/exporting.md shows how to "
        "call it",
    ]


def _differences(decoding: DecodingConfig, tokenizer: Any, names: list[str]) -> list[str]:
    found, defaults = differences(decoding), DecodingConfig()
    for name in NOT_WRITTEN:
        if (value := getattr(decoding, name)) != getattr(defaults, name):
            found.append(f"{option(f'decoding.{name}')} {value} is not written")
    if forced := [names[number] for number in tokenizer.start_ids[1:]]:
        found.append(f"every translation begins with {forced}: give it as target_prefix")
    return found
