"""A published folder as one of our trained models: with task, tokenizer, classes and search."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flax_transformer.data.data_config import DataConfig
from flax_transformer.data.labeled_text_config import LabeledTextConfig
from flax_transformer.data.parallel_text_config import ParallelTextConfig
from flax_transformer.data.pixels_config import ImagesConfig
from flax_transformer.data.plain_text_config import PlainTextConfig
from flax_transformer.data.tokens.chat_template import check_template
from flax_transformer.data.tokens.chosen_languages import choose_languages
from flax_transformer.data.tokens.published_folder import (
    read_chat_template,
    read_published_tokenizer,
)
from flax_transformer.data.tokens.published_tokenizer import OfModel, PublishedTokenizer
from flax_transformer.errors import UserError, unknown
from flax_transformer.experiment import Experiment
from flax_transformer.interchange import generation_settings, pixel_settings
from flax_transformer.interchange.generation_settings import read_decoding
from flax_transformer.interchange.model_sources import ModelSource, find_model
from flax_transformer.interchange.pixel_settings import check_pixels
from flax_transformer.interchange.published_folders import (
    LARGEST_CONFIG,
    TYPES,
    PublishedModel,
    open_published,
    read_parameters,
)
from flax_transformer.interchange.safetensors_files import read_json
from flax_transformer.interchange.sentence_vectors import read_vector_settings
from flax_transformer.tasks.classification.classification_config import ClassificationConfig
from flax_transformer.tasks.language_modeling.language_modeling_task import LanguageModelingConfig
from flax_transformer.tasks.masked_language_modeling.masked_language_modeling_task import (
    MaskedLanguageModelingConfig,
)
from flax_transformer.tasks.task import Predictor, Task
from flax_transformer.tasks.task_config import TaskConfig
from flax_transformer.tasks.tasks import find_task
from flax_transformer.tasks.text_embedding.text_embedding_task import TextEmbeddingConfig
from flax_transformer.tasks.translation.translation_config import TranslationConfig
from flax_transformer.training.quantized_weights import EIGHT_BITS, quantize_weights

LONGEST = 2048  # tokens that are read at a time, at most; a table of positions may have fewer


class PublishedRun(NamedTuple):
    """A published model as one that was trained here.

    Attributes:
        model: the opened folder.
        experiment: data, model, task and search; it was not trained by it.
        task: opened.
        files: names of the files of the model.
        source: where the model is from.
    """

    model: PublishedModel
    experiment: Experiment
    task: Task
    files: list[str]
    source: ModelSource


def from_pretrained(
    model: str | Path,
    *,
    dtype: str | None = None,
    revision: str | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
) -> Predictor:
    """Loads a published model for use.

    Args:
        model: a folder with config.json, safetensors and the files of a tokenizer, as
            `save_pretrained` of Hugging Face's transformers writes them; or OWNER/NAME of a model
            on the Hub, which is fetched (extra `hub`); or a GGUF file of a Llama (extra `gguf`).
        dtype: type of parameters and computation, float32 or bfloat16; by default that of the file.
            int8: float32 with weights of 8 bits, see `ft.load`.
        revision: branch, tag or commit of a model of the Hub; by default its main branch.
        source_language: of texts to translate, as the tokenizer of a model of several languages
            names it, such as "eng_Latn" in NLLB; by default that of its files.
        target_language: of translations, likewise.

    Returns:
        The predictor of the model's task, such as a `Translator`.

    Raises:
        UserError: says in one line what the folder has that is not known here, or why the model is
            not fetched.
    """
    if dtype not in (None, EIGHT_BITS, *TYPES):
        raise unknown("--dtype", dtype, (EIGHT_BITS, *TYPES))
    languages = source_language, target_language
    run = open_published_run(model, dtype, revision, languages)
    if dtype == EIGHT_BITS:
        return run.task.predictor(quantize_weights(read_parameters(run.model)))
    return run.task.predictor(read_parameters(run.model, dtype))


def open_published_run(
    name: str | Path,
    dtype: str | None = None,
    revision: str | None = None,
    languages: tuple[str | None, str | None] = (None, None),
) -> PublishedRun:
    """Reads everything of a published model but the parameters; see `from_pretrained`."""
    source = find_model(name, revision)
    folder = source.folder
    model = open_published(folder)
    computes = dtype or _common_type(model)
    config = model.config
    if computes == "bfloat16":
        config = dataclasses.replace(config, dtype="bfloat16")
    data, task_config = _configs(model, folder)
    generation = _read_if_there(folder / generation_settings.FILE)
    experiment = Experiment(data=data, model=config, task=task_config)
    _, found = find_task(experiment)
    if found.searches:
        experiment = dataclasses.replace(experiment, decoding=_decoding(generation, folder))
    kind: Any = found  # a class of texts or of classes, whose arguments differ
    files, arguments = ["config.json"] * folder.is_dir(), []
    if model.config.reads != "images":
        tokenizer, read = read_published_tokenizer(folder)
        tokenizer = _of_model(tokenizer, model, generation, folder)
        arguments.append(_of_languages(tokenizer, model, *languages))
        files += read
    if isinstance(task_config, ClassificationConfig):
        arguments.insert(0, _class_names(model))
    task = kind(experiment, *arguments)
    if isinstance(task_config, TextEmbeddingConfig):
        files += read_vector_settings(folder).files
    files += [generation_settings.FILE] * bool(generation) + model.tensors.files
    return PublishedRun(model, experiment, task, files, source)


def _common_type(model: PublishedModel) -> str:
    """The type of all tensors of a folder; float32 if they have several."""
    types = {model.tensors.kind(name)[0] for name in model.tensors}
    return "bfloat16" if types == {"BF16"} else "float32"


def _configs(model: PublishedModel, folder: Path) -> tuple[DataConfig, TaskConfig]:
    """Chooses data and task; users give files of their own on the command line."""
    parts = {rule.part for rule in model.rules}
    if model.config.reads == "images":
        check_pixels(_read_if_there(folder / pixel_settings.FILE), folder / pixel_settings.FILE)
        side = model.config.image_size[0]
        return ImagesConfig("image_folders", image_size=side), ClassificationConfig()
    limit = min(model.config.position_limit() or LONGEST, LONGEST)
    if model.config.gives == "target_tokens":
        return ParallelTextConfig("text_files", max_length=limit), TranslationConfig()
    if model.config.gives == "next_tokens":
        return PlainTextConfig("plain_text", max_length=limit), LanguageModelingConfig()
    if "classes" in parts:
        return LabeledTextConfig("labeled_text", max_length=limit), ClassificationConfig()
    if "tokens" in parts:
        return PlainTextConfig("plain_text", max_length=limit), MaskedLanguageModelingConfig()
    found = read_vector_settings(folder)
    limit = min(limit, found.max_length or limit)
    task_config = TextEmbeddingConfig(
        pooling=found.pooling, normalize=found.normalize, has_pooler="pool" in parts
    )
    return PlainTextConfig("plain_text", max_length=limit), task_config


def _decoding(generation: Mapping[str, Any], folder: Path) -> Any:
    try:
        return read_decoding(generation)
    except (UserError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{folder / generation_settings.FILE}: {error}; remove the key, or the file"
        ) from error


def _of_model(
    tokenizer: PublishedTokenizer,
    model: PublishedModel,
    generation: Mapping[str, Any],
    folder: Path,
) -> PublishedTokenizer:
    """Gives the tokenizer what the configs of the model say about ids."""
    size = model.settings["vocab_size"]
    if tokenizer.vocab_size > size:
        raise UserError(
            f"{folder} has a tokenizer of {tokenizer.vocab_size:,} ids, but a model of {size:,}: "
            "give the tokenizer of this model"
        )
    said = {**model.settings, **{k: v for k, v in generation.items() if v is not None}}
    begin, forced = said.get("decoder_start_token_id"), said.get("forced_bos_token_id")
    writes = model.config.gives == "target_tokens"
    banned = said.get("bad_words_ids") or []
    if any(type(words) is not list or len(words) != 1 for words in banned):
        raise UserError(f"{folder}: bad_words_ids has several ids in one: remove the key")
    ends = said.get("eos_token_id") if model.config.gives.endswith("_tokens") else None
    ends = ends if type(ends) is list else [] if ends is None else [ends]
    ids = [i for i in (begin, forced, *ends, *(word[0] for word in banned)) if i is not None]
    if any(type(i) is not int or not 0 <= i < size for i in ids):
        raise UserError(f"{folder} names an id that its table of {size:,} rows does not have")
    return tokenizer.of_model(
        OfModel(
            num_rows=size,
            begin=begin if writes else None,
            forced=() if forced is None or not writes else (forced,),
            never_written=tuple(word[0] for word in banned),
            ends=tuple(ends),
            chat_template=_chat_template(folder),
        )
    )


def _of_languages(
    tokenizer: PublishedTokenizer, model: PublishedModel, source: str | None, target: str | None
) -> PublishedTokenizer:
    language = source or target
    if language and model.config.gives != "target_tokens":
        raise UserError(f"a {model.family} model does not translate: leave {language} out")
    return choose_languages(tokenizer, source, target)


def _chat_template(folder: Path) -> str:
    template = read_chat_template(folder)
    if template:
        check_template(template, str(folder))
    return template


def _class_names(model: PublishedModel) -> tuple[str, ...]:
    number = model.shapes["classifier/bias"][0]
    named = model.settings.get("id2label")
    if not isinstance(named, dict) or len(named) != number:
        return tuple(f"LABEL_{i}" for i in range(number))
    return tuple(str(named.get(str(i), f"LABEL_{i}")) for i in range(number))


def _read_if_there(path: Path) -> dict[str, Any]:
    return read_json(path, LARGEST_CONFIG) if path.is_file() else {}
