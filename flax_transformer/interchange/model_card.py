"""README.md of an exported folder: what the model is, its scores, and how to use it."""

import json
import math
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import jax
import numpy as np

from flax_transformer.evaluation.metric import shown
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.whole_files import written_whole

# A `TrainedRun`, whose data, model and task have fields of their kind.
Run: TypeAlias = Any
CARD = "README.md"


class Kind(NamedTuple):
    """A kind of model in transformers.

    Attributes:
        description: of a model, in a few words.
        tag: the name of its task there.
        auto: the class that loads it.
        use: lines that use `model` and `processor`.
    """

    description: str
    tag: str
    auto: str
    use: tuple[str, ...]


_TEXT = 'inputs = processor("{text}", return_tensors="pt")'
_CLASS = "print(model.config.id2label[model(**inputs).logits.argmax(-1).item()])"
_WRITTEN = "print(processor.batch_decode(model.generate(**inputs), skip_special_tokens=True)[0])"
# Command that uses a model here, and what it reads -> its kind there.
_KINDS = {
    ("translate", "tokens"): Kind(
        "translates texts", "translation", "AutoModelForSeq2SeqLM", (_TEXT, _WRITTEN)
    ),
    ("generate", "tokens"): Kind(
        "continues texts", "text-generation", "AutoModelForCausalLM", (_TEXT, _WRITTEN)
    ),
    ("fill", "tokens"): Kind(
        "fills the gaps of texts",
        "fill-mask",
        "AutoModelForMaskedLM",
        (
            _TEXT,
            "places = inputs.input_ids[0] == processor.mask_token_id",
            "print(processor.decode(model(**inputs).logits[0, places].argmax(-1)))",
        ),
    ),
    ("classify", "tokens"): Kind(
        "classifies texts",
        "text-classification",
        "AutoModelForSequenceClassification",
        (_TEXT, _CLASS),
    ),
    ("tag", "tokens"): Kind(
        "tags the words of texts",
        "token-classification",
        "AutoModelForTokenClassification",
        (
            _TEXT,
            "tags = model(**inputs).logits[0].argmax(-1).tolist()",
            "names = processor.convert_ids_to_tokens(inputs.input_ids[0])",
            "print([(a, model.config.id2label[i]) for a, i in zip(names, tags)])",
        ),
    ),
    ("classify", "images"): Kind(
        "classifies images",
        "image-classification",
        "AutoModelForImageClassification",
        ('inputs = processor(Image.open("{text}"), return_tensors="pt")', _CLASS),
    ),
}
# Pooling -> the vector of one text.
_VECTORS = {"mean": "vectors.mean(1)", "max": "vectors.amax(1)", "first": "vectors[:, 0]"}
_EXAMPLES = {"fill": "a text with a [MASK]", "classify": "a text"}


def find_kind(run: Run) -> Kind | None:
    """Returns the kind of a model; None if transformers has none."""
    if run.task.command == "embed":
        return _kind_of_vectors(run.experiment.task)
    return _KINDS.get((run.task.command, run.experiment.model.reads))


def _kind_of_vectors(task: Any) -> Kind:
    lines = ["vectors = model(**inputs).last_hidden_state", f"vector = {_VECTORS[task.pooling]}"]
    if task.normalize:
        lines.append("vector = vector / vector.norm(dim=-1, keepdim=True)")
    uses = (_TEXT, *lines, "print(vector)")
    return Kind("gives vectors of texts", "feature-extraction", "AutoModel", uses)


def write_card(
    folder: Path, run: Run, workdir: Path, out: Path, differences: list[str]
) -> list[str]:
    """Writes the model card.

    Args:
        folder: to write into.
        run: the model.
        workdir: of the model, with its scores.
        out: the name under which the folder will be known.
        differences: what transformers does in another way, a line each.

    Returns:
        Lines of Python that load the model.
    """
    kind = find_kind(run)
    assert kind is not None
    name = out.resolve().name
    parts = [
        f"---\nlibrary_name: transformers\npipeline_tag: {kind.tag}\n---\n# {name}",
        "\n".join(_description(run, kind)),
        "\n".join(["## Use", "```python", *_use(run, kind, name), "```"]),
    ]
    if differences:
        listed = "\n".join(f"- {line}" for line in differences)
        parts.append(f"transformers uses it in another way than its training did:\n\n{listed}")
    parts.append("\n".join(["## Scores", *_scores(run, workdir)]))
    parts.append("\n".join(["## Training", *_training(run)]))
    with written_whole(folder / CARD) as file:
        file.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return _use(run, kind, str(out))


def _use(run: Run, kind: Kind, out: str) -> list[str]:
    is_image = run.experiment.model.reads == "images"
    processor = "AutoImageProcessor" if is_image else "AutoTokenizer"
    text = "image.png" if is_image else _EXAMPLES.get(run.task.command, "A text")
    imports = [f"from transformers import {kind.auto}, {processor}"]
    return [
        *(["from PIL import Image"] if is_image else []),
        *imports,
        "",
        f'processor = {processor}.from_pretrained("{out}")',
        f'model = {kind.auto}.from_pretrained("{out}")',
        *(line.format(text=text) if "{text}" in line else line for line in kind.use),
    ]


def _description(run: Run, kind: Kind) -> Iterator[str]:
    number = sum(math.prod(np.shape(x)) for x in jax.tree.leaves(run.variables["params"]))
    yield f"A model of {number:,} parameters that {kind.description}."
    data = run.experiment.data
    if run.steps == [0]:
        return
    yield f"It was trained on the data set {data.dataset}."
    if run.task.command == "translate" and data.dataset != "text_files":
        yield f"Languages: {data.source_language} to {data.target_language}."
    if hasattr(run.task, "class_names"):
        names = run.task.class_names
        yield f"Its {len(names)} classes: {', '.join(names[:20])}{', ...' * (len(names) > 20)}."


def _scores(run: Run, workdir: Path) -> list[str]:
    """Lines of a table of all scores of these weights."""
    rows = []
    for path in sorted(Workdir(workdir).scores.glob("*.json")):
        record = json.loads(path.read_text(encoding="utf-8"))
        same = record["checkpoint_step"] == run.steps[-1]
        if not same or record["num_averaged"] != len(run.steps):
            continue
        where = record["split"] or "own files"
        for name, score in record["scores"].items():
            # A bar would begin another column.
            signature = (score["signature"] or "").replace("|", "\\|")
            rows.append(f"| {where} | {name} | {_shown(name, score['value'])} | {signature} |")
        if record["decoding"] is not None:
            rows.append(f"| {where} | search | {_search(record['decoding'])} | |")
    if not rows:
        return ["These weights were not evaluated."]
    return ["| split | score | value | signature |", "|---|---|---|---|", *rows]


def _shown(name: str, value: float | None) -> str:
    return "undefined" if value is None else shown(name, value)


def _search(decoding: dict[str, Any]) -> str:
    if decoding["method"] != "beam":
        return decoding["method"]
    return f"beam {decoding['beam_size']}, {decoding['length_penalty']} {decoding['alpha']:g}"


def _training(run: Run) -> list[str]:
    if run.steps == [0]:
        return ["The weights were imported and not trained further."]
    steps = ", ".join(f"{step:,}" for step in run.steps)
    which = "The mean of the weights" if len(run.steps) > 1 else "The weights"
    by = f"by flax_transformer {version('flax_transformer')}"
    return [
        f"{which} after {steps} updates, with seed {run.experiment.seed}, {by}. The same training:",
        "```",
        "flax-transformer train experiment.json --workdir DIR",
        "```",
    ]
