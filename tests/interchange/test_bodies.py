"""Published encoders without a head: they give vectors, and begin the training of other tasks."""

import dataclasses
from typing import Any

import numpy as np
import pytest
import small_texts
from small import with_fields
from worded_bodies import MEAN, MODEL, write_body, write_sentence_vectors

import flax_transformer as ft
from flax_transformer.cli import main
from flax_transformer.errors import UserError
from flax_transformer.experiment import write_experiment
from flax_transformer.interchange.sentence_vectors import read_vector_settings
from flax_transformer.training.checkpoints.model_of_run import take_model

pytestmark = pytest.mark.usefixtures("quickly_compiled", "unchecked_types")
TEXTS = ["Ada greets Ben", "", "Cleo calls", "Dan calls Eve"]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("body")
    body = write_sentence_vectors(write_body(folder / "in", "pool"), tokens={"max_seq_length": 5})
    main(["import", str(body), "--workdir", str(folder / "run")])
    return folder / "run"


def error_of(words: list[str], capsys) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(words)
    return capsys.readouterr().err


def test_a_folder_and_its_workdir_give_the_same_vectors(workdir):
    direct: Any = ft.from_pretrained(workdir.parent / "in")
    loaded: Any = ft.load(workdir)
    found = loaded.embed(TEXTS)
    np.testing.assert_array_equal(found, direct.embed(TEXTS))
    assert (loaded.pooling, loaded.normalize, loaded.max_length) == ("mean", True, 5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
    plain = loaded.embed(TEXTS, normalize=False)
    assert np.abs(np.linalg.norm(plain, axis=1) - 1).min() > 0.1
    lengths = np.linalg.norm(plain, axis=1, keepdims=True)
    np.testing.assert_allclose(found, plain / lengths, rtol=1e-5)
    with pytest.warns(UserWarning, match="is longer than --data.max-length 5 and is cut"):
        loaded.embed("Ada greets Ben Cleo")


def test_weights_of_8_bits_give_almost_the_same_vectors(workdir):
    exact: Any = ft.from_pretrained(workdir.parent / "in")
    small: Any = ft.from_pretrained(workdir.parent / "in", dtype="int8")
    differences = np.linalg.norm(small.embed(TEXTS) - exact.embed(TEXTS), axis=1)
    assert (differences > 0).all()
    assert (differences < 0.05).all()
    np.testing.assert_array_equal(small.embed(TEXTS), ft.load(workdir, dtype="int8").embed(TEXTS))
    with pytest.raises(UserError, match="unknown --dtype 'int4': did you mean 'int8'"):
        ft.from_pretrained(workdir.parent / "in", dtype="int4")


def test_a_body_without_a_pooler_and_files_of_sentence_transformers_has_the_defaults(tmp_path):
    body = write_body(tmp_path / "in")
    ft.interchange.import_folder(body, tmp_path / "run")
    for embedder in (ft.from_pretrained(body), ft.load(tmp_path / "run")):
        assert (embedder.pooling, embedder.normalize, embedder.max_length) == ("mean", False, 19)


def test_a_body_shows_its_attention(workdir, tmp_path, capsys):
    page = tmp_path / "page.html"
    main(["attention", "--workdir", str(workdir), "Ada greets Ben", "--out", str(page)])
    assert capsys.readouterr().out.startswith("Ada greets Ben\n")
    assert "greets" in page.read_text()
    with pytest.raises(UserError, match="text has 7 tokens, but the model reads 5"):
        ft.load(workdir).attend("Ada greets Ben Ada Ben")


@pytest.mark.parametrize("command", ["fill", "classify", "tag", "translate"])
def test_what_a_body_cannot_do_is_one_line(workdir, command, capsys):
    message = error_of([command, "--workdir", str(workdir), "Ada"], capsys)
    assert message == (
        f"error: {workdir} holds a model for text_embedding, which cannot {command}: use "
        f"flax-transformer embed --workdir {workdir}, or train another task with --init-from "
        f"{workdir}\n"
    )


def test_a_body_is_neither_trained_nor_scored_by_itself(workdir, tmp_path, capsys):
    words = ["train", str(workdir / "experiment.json"), "--workdir", str(tmp_path / "new")]
    texts = small_texts.write_lines(tmp_path)
    words += ["--data.train-text", texts]
    assert "text_embedding has neither a loss nor a score" in error_of(words, capsys)
    assert not (tmp_path / "new").exists()
    words = ["evaluate", "--workdir", str(workdir), "--file", texts]
    assert "text_embedding has neither a loss nor a score" in error_of(words, capsys)


def test_a_classifier_begins_with_a_body_and_takes_its_model(workdir, tmp_path, capsys):
    experiment = with_fields(
        small_texts.classification(tmp_path),
        "training",
        num_steps=2,
        evaluate_every_steps=2,
        checkpoint_every_steps=2,
    )
    write_experiment(tmp_path / "classes.json", experiment)
    words = ["train", str(tmp_path / "classes.json"), "--workdir", str(tmp_path / "run")]
    words += ["--init-from", str(workdir), "--optimizer.learning-rate", "1e-30"]
    main(words)
    assert "drawn: classifier\n" in capsys.readouterr().out
    body, classifier = ft.load(workdir), ft.load(tmp_path / "run")
    plain = body.embed(TEXTS, normalize=False)
    np.testing.assert_allclose(classifier.embed(TEXTS), plain, rtol=1e-4, atol=1e-6)
    found = classifier.task.experiment.model
    assert found == dataclasses.replace(
        MODEL, pooling="mean", residual_dropout_rate=0.0, attention_dropout_rate=0.0
    )


def test_a_model_of_another_kind_or_a_missing_run_changes_nothing(workdir, tmp_path):
    translation = ft.Experiment()
    assert take_model(translation, str(workdir)) is translation
    experiment = small_texts.classification(tmp_path)
    assert take_model(experiment, str(tmp_path / "nowhere")) is experiment
    assert take_model(experiment, "") is experiment


def test_a_pooler_that_a_masked_language_model_has_no_use_for_is_left_out(tmp_path, capsys):
    body = write_body(tmp_path / "in", "predict_tokens", "pool")
    main(["import", str(body), "--workdir", str(tmp_path / "run")])
    assert "left out: pooler, which this task does not use" in capsys.readouterr().out
    filler = ft.load(tmp_path / "run")
    assert "pooler" not in filler.variables["params"]
    direct: Any = ft.from_pretrained(body)
    assert filler.fill(["Ada [MASK] Ben"]) == direct.fill(["Ada [MASK] Ben"])
    np.testing.assert_array_equal(filler.embed(TEXTS), direct.embed(TEXTS))


READ = {
    "older": ({"pooling": MEAN}, ("mean", True, None)),
    "class token": ({"pooling": {"pooling_mode_cls_token": True}}, ("first", True, None)),
    "newer": ({"pooling": {"pooling_mode": "max"}}, ("max", True, None)),
    "a list of one": ({"pooling": {"pooling_mode": ["cls"]}}, ("first", True, None)),
    "nothing": ({"pooling": {"embedding_dimension": 12}}, ("mean", True, None)),
    "not normalized": ({"kinds": ["Transformer", "Pooling"]}, ("mean", False, None)),
    "a limit": ({"tokens": {"max_seq_length": 7, "do_lower_case": False}}, ("mean", True, 7)),
    "prompts": ({"prompts": {"prompts": {}, "default_prompt_name": None}}, ("mean", True, None)),
}


@pytest.mark.parametrize("case", READ)
def test_files_of_sentence_transformers_are_read(case, tmp_path):
    files, expected = READ[case]
    found = read_vector_settings(write_sentence_vectors(tmp_path, **files))
    assert found[:3] == expected
    assert {"modules.json", "1_Pooling/config.json"} <= set(found.files)
    assert all((tmp_path / name).is_file() for name in found.files)


REFUSED = {
    "a dense layer": (
        {"kinds": ["Transformer", "Pooling", "Dense"]},
        "Transformer, Pooling, Dense",
    ),
    "no pooling": ({"kinds": ["Transformer"]}, "lists Transformer: only"),
    "weighted": ({"pooling": {"pooling_mode": "weightedmean"}}, "the pooling is weightedmean, but"),
    "two": (
        {"pooling": {**MEAN, "pooling_mode_max_tokens": True}},
        "pooling is .'max', 'mean'., but",
    ),
    "a number": ({"pooling": {"pooling_mode": 3}}, "the pooling is 3, but only mean, max, cls"),
    "small letters": ({"tokens": {"do_lower_case": True}}, "do_lower_case is true: set it in"),
    "a bad limit": ({"tokens": {"max_seq_length": "7"}}, "max_seq_length is 7: it must be"),
    "a prompt": ({"prompts": {"default_prompt_name": "query"}}, "default_prompt_name is query"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_vectors_that_are_made_in_another_way_are_refused(case, tmp_path):
    files, message = REFUSED[case]
    with pytest.raises(UserError, match=message):
        read_vector_settings(write_sentence_vectors(tmp_path, **files))


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ("{", "damaged"),
        ("3", "damaged"),
        ('[{"type": "a.Transformer"}]', "damaged"),
        ('[{"type": "Transformer", "path": "../.."}]', "outside"),
        ('[{"type": "Transformer", "path": "/etc"}]', "outside"),
    ],
)
def test_damaged_modules_are_refused(modules, message, tmp_path):
    (tmp_path / "modules.json").write_text(modules)
    with pytest.raises(UserError, match=message):
        read_vector_settings(tmp_path)
