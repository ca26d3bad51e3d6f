import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from reference import assert_close

import flax_transformer as ft
from flax_transformer.cli import main
from flax_transformer.data.batches.batch import NO_CLASS
from flax_transformer.data.datasets.conllu import TaggedWordsConfig
from flax_transformer.data.datasets.own_files import OwnFiles
from flax_transformer.data.tokens.tokenizer import Tokenizer
from flax_transformer.errors import UserError
from flax_transformer.tasks.tagging.tag_batches import TagBatches, cut, encode_words
from flax_transformer.tasks.tagging.tagging_task import TaggingConfig, TaggingTask
from flax_transformer.training.assemble import open_run
from flax_transformer.training.mesh_devices import MeshDevices

# Every word is its own tag's only word but "duck": a verb after "they", else a noun.
SENTENCES = [
    "the/DET duck/NOUN sleeps/VERB ./PUNCT",
    "they/PRON duck/VERB ./PUNCT",
    "the/DET cat/NOUN and/CCONJ the/DET duck/NOUN sleep/VERB ./PUNCT",
    "they/PRON sleep/VERB and/CCONJ they/PRON duck/VERB",
    "sleep/VERB !/PUNCT",
]
TAGS = ("CCONJ", "DET", "NOUN", "PRON", "PUNCT", "VERB")


def write_conllu(path: Path, sentences: list[str]) -> str:
    lines = []
    for sentence in sentences:
        for number, pair in enumerate(sentence.split(), 1):
            word, tag = pair.rsplit("/", 1)
            lines.append("\t".join([str(number), word, word, tag, *["_"] * 6]))
        lines.append("")
    path.write_text("\n".join(lines))
    return str(path)


def words_of(sentence: str) -> list[str]:
    return [pair.rsplit("/", 1)[0] for pair in sentence.split()]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train((" ".join(words_of(s)) for s in SENTENCES), 320)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory) -> ft.Experiment:
    path = write_conllu(tmp_path_factory.mktemp("tagged") / "a.conllu", SENTENCES)
    return ft.Experiment(
        data=TaggedWordsConfig(
            train_file=path, validation_file=path, batch_size=8, vocab_size=320, max_length=64
        ),
        model=ft.EncoderOnlyConfig(
            num_layers=1,
            d_model=32,
            d_ff=32,
            num_heads=2,
            norm_placement="pre",
            residual_dropout_rate=0.0,
            attention_dropout_rate=0.0,
        ),
        task=TaggingConfig(),
        optimizer=ft.OptimizerConfig("constant", 0.01, 5, clip_norm=1.0),
        training=ft.TrainingConfig(
            num_steps=60,
            evaluate_every_steps=60,
            checkpoint_every_steps=60,
            keep_checkpoints=1,
            log_every_steps=20,
        ),
    )


@pytest.fixture(scope="module")
def workdir(experiment, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tagging")
    ft.train(experiment, folder)
    return folder


def test_the_tag_of_a_word_is_at_its_first_token(tokenizer):
    sentences = [["the", "duck", "ß"], ["sleep"]]
    pieces = cut(tokenizer, sentences, [[1, 2, 3], [0]], max_length=64)
    _, batch = next(TagBatches(*pieces, 64, 3, seed=None).epoch())
    assert batch.count() == 4
    first, second, filler = batch.labels[np.argsort(-batch.segments.sum(axis=1))]
    lengths = list(map(len, encode_words(tokenizer, sentences[0])))
    places = 1 + np.cumsum([0, *lengths[:-1]])
    np.testing.assert_array_equal(np.flatnonzero(first != NO_CLASS), places)
    assert first[places].tolist() == [1, 2, 3]
    assert second[second != NO_CLASS].tolist() == [0]
    assert (filler == NO_CLASS).all()
    assert batch.segments.sum() == sum(lengths) + 2 + len(encode_words(tokenizer, ["sleep"])[0]) + 2


@pytest.mark.parametrize("max_length", [3, 5, 9, 64])
def test_pieces_hold_every_word_once_and_fit(tokenizer, max_length):
    sentences = [words_of(sentence) for sentence in SENTENCES]
    numbers = iter(range(100))
    tags = [[next(numbers) for _ in sentence] for sentence in sentences]
    tokens, labels = cut(tokenizer, sentences, tags, max_length)
    assert tokens.lengths.max() <= max_length
    np.testing.assert_array_equal(tokens.lengths, labels.lengths)
    found = labels.tokens[labels.tokens > 0] - 1
    assert found.tolist() == [tag for row in tags for tag in row]


def test_it_learns_tags_that_depend_on_the_sentence(workdir):
    _, scored = ft.evaluate(workdir, "validation")
    assert scored.scores["accuracy"].value == 100
    assert scored.scores.keys() == {"accuracy", "macro_f1", "loss"}
    assert scored.outputs == SENTENCES
    tagger = ft.load(workdir)
    tagged = tagger.tag(["the duck sleeps .", ["they", "duck"], "", "  the\tcat "])
    assert [[(word.word, word.tag) for word in sentence] for sentence in tagged] == [
        [("the", "DET"), ("duck", "NOUN"), ("sleeps", "VERB"), (".", "PUNCT")],
        [("they", "PRON"), ("duck", "VERB")],
        [],
        [("the", "DET"), ("cat", "NOUN")],
    ]
    assert all(0 < word.probability <= 1 for sentence in tagged for word in sentence)


def test_the_company_of_a_sentence_does_not_change_its_tags(workdir):
    tagger = ft.load(workdir)
    sentences = [" ".join(words_of(sentence)) for sentence in SENTENCES]
    together = tagger.tag(sentences)
    for sentence, expected in zip(sentences, together, strict=True):
        (alone,) = tagger.tag([sentence])
        assert [word[:2] for word in alone] == [word[:2] for word in expected]
        assert_close([w.probability for w in alone], [w.probability for w in expected], 1e-5)


def test_a_sentence_longer_than_a_piece_is_tagged_whole(workdir):
    words = ["the", "duck", "sleeps", "."] * 40
    (tagged,) = ft.load(workdir).tag([words])
    assert [word.word for word in tagged] == words


def test_tags_are_the_same_on_all_devices(workdir):
    run = open_run(workdir, "last")
    mesh = MeshDevices(jax.devices()[:4], "data=2,fsdp=2")
    one, several = (run.task.predictor(v) for v in (run.variables, mesh.place(run.variables)))
    # Rows that four devices do not divide, and fewer than the devices.
    for number in (5, 2):
        words = [words_of(sentence) for sentence in SENTENCES[:number]]
        found, expected = (one_of.tag(words) for one_of in (several, one))
        assert [[w.tag for w in tagged] for tagged in found] == [
            [w.tag for w in tagged] for tagged in expected
        ]
        for some, others in zip(found, expected, strict=True):
            assert_close([w.probability for w in some], [w.probability for w in others], 1e-5)


def test_scores_are_of_words(workdir, tmp_path):
    """Of five words one tag is changed."""
    path = write_conllu(
        tmp_path / "b.conllu", ["they/PRON duck/NOUN", "the/DET cat/NOUN sleeps/VERB"]
    )
    _, scored = ft.evaluate(workdir, OwnFiles(file=Path(path)))
    assert scored.scores["accuracy"].value == pytest.approx(80)
    # F1: PRON 1, DET 1, VERB 2/3, NOUN 2/3.
    assert scored.scores["macro_f1"].value == pytest.approx(100 * (1 + 1 + 2 / 3 + 2 / 3) / 4)


def test_a_tag_that_was_never_trained_is_refused(workdir, tmp_path):
    path = write_conllu(tmp_path / "b.conllu", ["oh/INTJ"])
    with pytest.raises(UserError, match=r"unknown tag in .*b.conllu: 'INTJ'"):
        ft.evaluate(workdir, OwnFiles(file=Path(path)))


def test_the_loss_is_the_mean_of_the_words(experiment, tmp_path):
    task = TaggingTask.open(experiment, tmp_path, training=True)
    assert task.tags == TAGS
    variables = task.init(jax.random.key(0))
    assert "classifier" in variables["params"]
    batch = task.batches("train")[0]
    loss = task.loss(variables, batch, jax.random.key(1))
    scored = task.evaluate(variables, "train")
    assert float(loss.weight) == batch.count() == sum(len(s.split()) for s in SENTENCES)
    assert_close(loss.sum / loss.weight, scored.scores["loss"].value, 1e-5)
    assert loss.extra == {}


def test_padding_does_not_change_the_loss(experiment, tmp_path):
    task = TaggingTask.open(experiment, tmp_path, training=True)
    variables, batch = task.init(jax.random.key(0)), task.batches("train")[0]
    changed = batch._replace(inputs=np.where(batch.segments == 0, 7, batch.inputs))
    before, after = (task.loss(variables, b, jax.random.key(1)).sum for b in (batch, changed))
    np.testing.assert_array_equal(before, after)


def test_examples_show_words_and_tags(experiment, tmp_path):
    task = TaggingTask.open(experiment, tmp_path, training=True)
    shown = {
        example["text"]: example["tags"] for example in task.examples(task.batches("train")[0])
    }
    assert shown["they duck ."] == ["PRON", "VERB", "PUNCT"]


def test_attention_is_that_of_one_sentence(workdir):
    tagger = ft.load(workdir)
    shown = tagger.attend("they duck .")
    length = len(shown["tokens"])
    assert shown["weights"]["encoder"].shape == (1, 2, length, length)
    assert shown["title"].endswith("PRON VERB PUNCT")
    for text in ("", "duck " * 100):
        with pytest.raises(UserError, match="must have 1 to 62 tokens"):
            tagger.attend(text)


def test_tags_of_another_training_are_refused(workdir, experiment, tmp_path):
    path = write_conllu(tmp_path / "c.conllu", ["oh/INTJ no/DET"])
    data = dataclasses.replace(experiment.data, train_file=path, validation_file=path)
    other = TaggingTask.open(dataclasses.replace(experiment, data=data), workdir, training=True)
    with pytest.raises(UserError, match=r"tags.json: train into another --workdir"):
        other.save(workdir)


def test_a_missing_test_file_is_found_before_the_training(experiment, tmp_path):
    data = dataclasses.replace(experiment.data, test_file=str(tmp_path / "absent.conllu"))
    with pytest.raises(UserError, match=r"absent\.conllu"):
        ft.train(dataclasses.replace(experiment, data=data), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_command_prints_a_line_for_each_sentence(workdir, capsys):
    main(["tag", "--workdir", str(workdir), "they duck .", "the cat"])
    assert capsys.readouterr().out.splitlines() == [
        "they/PRON duck/VERB ./PUNCT",
        "the/DET cat/NOUN",
    ]
    main(["tag", "--workdir", str(workdir), "--json", "the cat"])
    record = json.loads(capsys.readouterr().out)
    assert [output["tag"] for output in record["outputs"]] == ["DET", "NOUN"]
