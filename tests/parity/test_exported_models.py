"""Exported models: transformers gives the same ids, logits and translations as the workdir."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from published_experiments import SMALL, disturb, lines, write_run
from untrained import write_workdir

import flax_transformer as ft
from flax_transformer.data.tokens.tokenized import TokenizedText
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.tasks.classification.pixel_classification import scale_pixels
from flax_transformer.tasks.tagging.tagger import tag_logits
from flax_transformer.training.assemble import open_run

torch = pytest.importorskip("torch", reason="torch is not installed: pip install '.[parity]'")
transformers = pytest.importorskip(
    "transformers", reason="transformers is not installed: pip install '.[parity]'"
)

pytestmark = pytest.mark.usefixtures("quickly_compiled")

AUTO = {
    "pegasus": "AutoModelForSeq2SeqLM",
    "gpt2": "AutoModelForCausalLM",
    "bert": "AutoModelForMaskedLM",
    "vit": "AutoModelForImageClassification",
}
TEXTS = lines()
SHORT = TEXTS[7:11]
LIMIT = 19  # tokens of an output


def apply(run: Any, *inputs: Any, **options: Any) -> np.ndarray:
    arrays = map(jnp.asarray, inputs)
    options |= {key: jnp.asarray(value) for key, value in options.items() if "segments" in key}
    return np.asarray(run.task.model.apply(run.variables, *arrays, **options))


class Pair:
    """A workdir, opened, and its export, opened by transformers."""

    def __init__(self, folder: Any, name: str):
        self.name, self.family = name, SMALL[name][0]
        self.workdir, self.out = write_run(folder / "run", name), folder / "out"
        exported = ft.interchange.export_run(self.workdir, self.out)
        assert exported.family == self.family
        self.ours: Any = open_run(self.workdir, "average")
        self.theirs = getattr(transformers, AUTO[self.family]).from_pretrained(self.out).eval()
        if self.family != "vit":
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(self.out)

    def apply(self, *inputs: Any, **options: Any) -> np.ndarray:
        return apply(self.ours, *inputs, **options)


@pytest.fixture(scope="module", params=list(SMALL))
def pair(request, tmp_path_factory) -> Pair:
    return Pair(tmp_path_factory.mktemp(request.param), request.param)


def close(found: np.ndarray, expected: np.ndarray) -> None:
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def test_the_logits_are_equal(pair):
    if pair.family == "vit":
        pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)
        images = [transformers.image_utils.PIL.Image.fromarray(one[..., 0]) for one in pixels]
        processor = transformers.AutoImageProcessor.from_pretrained(pair.out)
        inputs = processor(images, return_tensors="pt")
        scaled = np.asarray(scale_pixels(jnp.asarray(pixels)))
        close(inputs["pixel_values"].numpy().transpose(0, 2, 3, 1), scaled)
        expected = pair.apply(scaled)
    else:
        batch = pair.tokenizer(SHORT, return_tensors="pt", padding=True, padding_side="right")
        inputs = dict(batch)
        tokens, segments = (inputs[name].numpy() for name in ("input_ids", "attention_mask"))
        if pair.family == "pegasus":
            target = np.array([[1, 5, 7, 100, 3]] * len(SHORT))
            inputs["decoder_input_ids"] = torch.tensor(target)
            expected = pair.apply(tokens, target, source_segments=segments)
        elif pair.family == "gpt2":
            expected = pair.apply(tokens, segments=segments)
        else:
            expected = pair.apply(tokens, segments=segments, method="predict_tokens")
    with torch.no_grad():
        found = pair.theirs(**inputs).logits.numpy()
    if pair.family in ("gpt2", "bert"):
        found, expected = found[segments == 1], expected[segments == 1]
    close(found, expected)


def test_the_ids_and_the_texts_are_equal(pair):
    if pair.family == "vit":
        names = ["cat", "dog", "newt", "owl", "yak"]
        assert list(pair.theirs.config.id2label.values()) == names
        return
    ours, begin = pair.ours.task.tokenizer, pair.family == "bert"
    found = pair.tokenizer(TEXTS)["input_ids"]
    if pair.family == "gpt2":
        expected = ours.encode_batch(TEXTS)
    else:
        texts = TokenizedText.encode(ours, TEXTS, begin=begin)
        expected = [part.tolist() for part in np.split(texts.tokens, texts.offsets[1:-1])]
    assert found == expected
    assert pair.tokenizer.batch_decode(found, skip_special_tokens=True) == [
        ours.decode(ids) for ids in ours.encode_batch(TEXTS)
    ]
    if pair.family == "bert":
        assert pair.tokenizer("a [MASK]")["input_ids"] == [1, *ours.encode("a"), 0, 2]


# The others are of the same family, or write no text.
@pytest.mark.parametrize("pair", ["number_words", "shakespeare"], indirect=True)
def test_greedy_outputs_are_equal(pair):
    # Of one length, so that one program is enough, and our limit is the same for all.
    rows = pair.tokenizer(TEXTS)["input_ids"]
    texts = [text for text, ids in zip(TEXTS, rows, strict=True) if len(ids) == 9][:3]
    inputs = pair.tokenizer(texts, return_tensors="pt")
    greedy = {"do_sample": False, "num_beams": 1, "max_new_tokens": LIMIT}
    ids = pair.theirs.generate(**inputs, **greedy)
    start = 1 if pair.family == "pegasus" else inputs["input_ids"].shape[1]
    expected = pair.tokenizer.batch_decode(ids[:, start:], skip_special_tokens=True)
    predictor: Any = ft.load(pair.workdir)
    decoding = dataclasses.replace(predictor.decoding, method="greedy", max_extra_length=LIMIT - 9)
    if pair.family == "gpt2":
        found = [text for (text,) in predictor.generate(texts, decoding, length=LIMIT)]
    else:
        found = predictor.translate(texts, decoding)
    assert found == expected
    assert len(set(found)) > 1


def test_an_import_of_the_export_is_the_same_model(pair, tmp_path):
    ft.interchange.import_folder(pair.out, tmp_path / "again")
    again: Any = open_run(tmp_path / "again", "last")
    ours = pair.ours
    if pair.family == "vit":
        images = np.random.default_rng(1).normal(size=(3, 8, 8, 1)).astype(np.float32)
        close(apply(again, images), pair.apply(images))
        assert again.task.class_names == ours.task.class_names
        return
    read, own = again.task.tokenizer, ours.task.tokenizer
    begin = pair.family == "bert"
    if pair.family == "gpt2":
        assert read.encode_batch(TEXTS) == own.encode_batch(TEXTS)
        assert read.never_written == own.never_written
        assert read.encode_prompt("") == own.encode_prompt("")
    else:
        found, expected = (TokenizedText.encode(t, TEXTS, begin=begin) for t in (read, own))
        np.testing.assert_array_equal(found.tokens, expected.tokens)
    if pair.family == "pegasus":
        assert again.experiment.model.positions == ours.experiment.model.positions
        assert read.start_ids == own.start_ids
        inputs = np.array([[5, 7, 9, 2]]), np.array([[1, 5, 7]])
        np.testing.assert_array_equal(apply(again, *inputs), pair.apply(*inputs))
        decoding = again.experiment.decoding
        assert decoding.beam_size == ours.experiment.decoding.beam_size
    # What was read is written back as it was.
    ft.interchange.export_run(tmp_path / "again", tmp_path / "back")
    for name in ("tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        first, second = ((folder / name).read_bytes() for folder in (pair.out, tmp_path / "back"))
        assert first == second


def test_an_exported_tagger_gives_every_token_the_same_tag(tmp_path):
    """At the first token of a word, this is the tag of the word."""
    sizes: Any = {"num_layers": 2, "d_model": 12, "d_ff": 7, "num_heads": 3}
    experiment = ft.Experiment(
        data=ft.TaggedWordsConfig(max_length=31),
        model=ft.EncoderOnlyConfig(max_positions=31, **sizes),
        task=ft.TaggingConfig(),
        decoding=None,
    )
    workdir = tmp_path / "run"
    workdir.mkdir()
    (workdir / "tags.json").write_text('["DET", "NOUN", "NUM", "VERB", "X"]')
    write_workdir(workdir, experiment, Tokenizer.train(TEXTS, 290), disturb)
    exported = ft.interchange.export_run(workdir, tmp_path / "out")
    assert exported.family == "bert"
    theirs = transformers.AutoModelForTokenClassification.from_pretrained(tmp_path / "out")
    assert type(theirs).__name__ == "BertForTokenClassification"
    assert list(theirs.config.id2label.values()) == ["DET", "NOUN", "NUM", "VERB", "X"]
    ours, words = open_run(workdir, "average"), SHORT[0].split()
    tokens, labels = ours.task.predictor(ours.variables)._cut([words])
    read = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert read(" ".join(words))["input_ids"] == tokens.tokens.tolist()
    with torch.no_grad():
        found = theirs.eval()(torch.tensor(tokens.tokens[None])).logits.numpy()
    close(found, apply(ours, tokens.tokens[None], method=tag_logits))
    (tagged,) = ft.load(workdir).tag([words])
    best = found[0].argmax(-1)[labels.tokens > 0].tolist()
    assert [word.tag for word in tagged] == [theirs.config.id2label[number] for number in best]
