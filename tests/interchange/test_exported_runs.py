"""What `export` writes, refuses, and leaves alone."""

import dataclasses
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from published_experiments import disturb, lines, small_experiment, write_run
from safetensors_of_tests import change_tensors
from tokenizers import models, pre_tokenizers, trainers
from untrained import EXPERIMENTS, write_workdir

import flax_transformer as ft
from flax_transformer.cli import main
from flax_transformer.data.tokens.adopted_tokenizer import adopt_tokenizer
from flax_transformer.data.tokens.exported_tokenizer import Reading, tokenizer_files
from flax_transformer.data.tokens.published_folder import read_published_tokenizer
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.experiment import Experiment
from flax_transformer.interchange import export_run
from flax_transformer.interchange.exported_folders import write_model
from flax_transformer.whole_files import written_whole_folder

pytestmark = pytest.mark.usefixtures("quickly_compiled")
TEXTS = lines()


def changed(name: str, **model: Any) -> Experiment:
    experiment = small_experiment(name)
    return dataclasses.replace(experiment, model=dataclasses.replace(experiment.model, **model))


def subwords() -> Tokenizer:
    return Tokenizer.train(TEXTS, 290)


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        (
            changed("masked_text", convolution_width=5),
            "bert cannot hold --model.convolution-width 5 (only none); no other family holds it "
            "either",
        ),
        (
            changed("digits", pooling="mean"),
            "vit cannot hold --model.pooling mean (only class_token); no other family holds it "
            "either",
        ),
        (
            changed("number_words", norm_epsilon=1e-6),
            "pegasus cannot hold --model.norm-epsilon 1e-06 (only 1e-05); no other family holds it "
            "either",
        ),
        (
            changed("shakespeare", positions="alibi"),
            "gpt2 cannot hold --model.positions alibi (only learned); no other family holds it "
            "either",
        ),
    ],
    ids=["convolution", "pooling", "epsilon", "positions"],
)
def test_what_no_family_holds_is_one_line_and_nothing_is_written(experiment, message, tmp_path):
    workdir = write_workdir(tmp_path / "run", experiment, subwords(), disturb)
    with pytest.raises(UserError) as error:
        export_run(workdir, tmp_path / "out")
    assert str(error.value) == message
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_model_of_another_kind_is_refused(tmp_path):
    workdir = write_workdir(tmp_path / "run", EXPERIMENTS["videos"])
    with pytest.raises(
        UserError, match=r"holds a model to classify videos: no family has such models$"
    ):
        export_run(workdir, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def workdir(tmp_path_factory) -> Path:
    return write_run(tmp_path_factory.mktemp("shakespeare") / "run", "shakespeare")


def test_the_command_writes_a_card_that_invents_nothing(workdir, tmp_path, capsys, unchecked_types):
    out = tmp_path / "mine"
    main(["export", "--workdir", str(workdir), "--out", str(out), "--weights", "last"])
    said = capsys.readouterr().out
    assert f"{out} holds a gpt2 model" in said
    assert f'AutoTokenizer.from_pretrained("{out}")' in said
    card = (out / "README.md").read_text()
    assert card.startswith(
        "---\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n# mine\n"
    )
    assert "These weights were not evaluated." in card
    assert "data set tinyshakespeare" in card
    assert "The weights after 1 updates, with seed 0" in card
    assert str(tmp_path) not in card
    files = {path.name for path in out.iterdir()}
    assert files == {
        "README.md",
        "config.json",
        "experiment.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    settings = json.loads((out / "generation_config.json").read_text())
    assert settings == {
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 2,
        "bad_words_ids": [[0], [1]],
        "do_sample": True,
        "temperature": 0.8,
        "top_k": 200,
        "top_p": 1.0,
        "max_length": 64,
    }


def test_the_card_has_the_scores_of_these_weights_only(workdir, tmp_path):
    scores = workdir / "scores"
    scores.mkdir(exist_ok=True)
    record = {
        "split": "test",
        "decoding": None,
        "checkpoint_step": 1,
        "num_averaged": 1,
        "scores": {"bleu": {"name": "bleu", "value": 12.5, "signature": "nrefs:1|v:2"}},
    }
    (scores / "a.json").write_text(json.dumps(record))
    record |= {"checkpoint_step": 7, "scores": {"bleu": {"value": 99.9, "signature": None}}}
    (scores / "b.json").write_text(json.dumps(record))
    export_run(workdir, tmp_path / "out")
    card = (tmp_path / "out" / "README.md").read_text()
    assert re.search(r"^\| test \| bleu \| 12\.50 \| nrefs:1\\\|v:2 \|$", card, re.MULTILINE)
    assert "99.9" not in card
    for path in scores.iterdir():
        path.unlink()


def test_a_wrong_family_and_a_full_folder_are_one_line(workdir, tmp_path):
    with pytest.raises(UserError, match=r"unknown --family 'gtp2': did you mean 'gpt2'"):
        export_run(workdir, tmp_path / "out", family="gtp2")
    with pytest.raises(UserError, match=r"^llama cannot hold --model\.activation gelu_tanh \(onl"):
        export_run(workdir, tmp_path / "out", family="llama")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match=r"--out .*out is not an empty folder: give another one$"):
        export_run(workdir, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_export_that_fails_midway_leaves_nothing(workdir, tmp_path, monkeypatch):
    def fail(folder, *arguments, **options):
        write_model(folder, *arguments, **options)
        assert (folder / "model.safetensors").is_file()
        assert not (tmp_path / "out").exists()
        raise OSError("the disk is full")

    monkeypatch.setattr("flax_transformer.interchange.exported_runs.write_model", fail)
    with pytest.raises(UserError, match=r"out cannot be written \(the disk is full\): make room"):
        export_run(workdir, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_whole_folder_takes_the_place_of_an_empty_one(tmp_path):
    (tmp_path / "out").mkdir()
    with written_whole_folder(tmp_path / "out") as unfinished:
        (unfinished / "a.txt").write_text("a")
        assert unfinished.name == f".{os.getpid()}.out.unfinished"
        assert not list((tmp_path / "out").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "a.txt").read_text() == "a"


def test_a_translator_without_its_tables_of_positions_is_refused(tmp_path):
    """As transformers saves a Marian again."""
    experiment = changed("number_words", norm_placement="post")
    workdir = write_workdir(tmp_path / "run", experiment, subwords(), disturb)
    assert export_run(workdir, tmp_path / "out").family == "marian"
    assert ft.interchange.parameters(tmp_path / "out")[0].positions == "sinusoidal"
    change_tensors(
        tmp_path / "out",
        lambda tensors: {name: x for name, x in tensors.items() if "positions" not in name},
    )
    with pytest.raises(UserError, match=r"embed_positions\.weight are missing, as save_pretrained"):
        ft.interchange.parameters(tmp_path / "out")
    path = tmp_path / "out" / "config.json"
    settings = json.loads(path.read_text())
    assert settings.pop("fixed_positions") == "sinusoidal"
    path.write_text(json.dumps(settings))
    assert ft.interchange.parameters(tmp_path / "out")[0].positions == "sinusoidal_blocks"


def test_weights_of_16_bits_keep_their_fixed_positions(tmp_path):
    run = write_run(tmp_path / "run", "number_words")
    export_run(run, tmp_path / "out", dtype="bfloat16")
    config, _, variables = ft.interchange.parameters(tmp_path / "out")
    assert config.positions == "sinusoidal"
    assert "source_positions" not in variables["params"]


def adopted(model: str, tmp_path: Path) -> Tokenizer:
    kinds = {"WordPiece": trainers.WordPieceTrainer, "Unigram": trainers.UnigramTrainer}
    options = {"vocab_size": 120, "special_tokens": ["[UNK]", "[CLS]"], "show_progress": False}
    unknown = {"unk_token": "[UNK]"}
    made = tokenizers.Tokenizer(getattr(models, model)(**unknown if model == "WordPiece" else {}))
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = kinds[model](**options, **(unknown if model == "Unigram" else {}))
    made.train_from_iterator(TEXTS, trainer)
    made.save(str(tmp_path / "own.json"))
    return adopt_tokenizer(tmp_path / "own.json")


@pytest.mark.parametrize("model", ["WordPiece", "Unigram"])
def test_an_adopted_tokenizer_gives_the_same_ids(model, tmp_path):
    tokenizer = adopted(model, tmp_path)
    folder = tmp_path / "out"
    folder.mkdir()
    for name, contents in tokenizer_files(tokenizer, Reading(31, has_end=True)).items():
        (folder / name).write_bytes(contents)
    read, files = read_published_tokenizer(folder)
    texts = [text for text in TEXTS if "<" not in text]
    assert read.encode_batch(texts) == tokenizer.encode_batch(texts)
    assert read.encode_batch(texts, marked=True) == [
        [*ids, 2] for ids in tokenizer.encode_batch(texts)
    ]
    assert set(files) == set(read.files) == {"tokenizer.json", "tokenizer_config.json"}
    assert read.vocab_size == tokenizer.vocab_size
