import dataclasses
import io

import jax
import numpy as np
import pytest
from interrupted import crash, interrupt_batches
from rich.console import Console
from small import make_experiment, with_fields
from small_texts import LENGTH, classification, masked, write_lines

from flax_transformer.data.datasets.conllu import TaggedWordsConfig
from flax_transformer.errors import UserError
from flax_transformer.experiment import read_experiment
from flax_transformer.tasks.tagging.tagging_task import TaggingConfig
from flax_transformer.training import loop
from flax_transformer.training.assemble import load, open_run
from flax_transformer.training.checkpoints.checkpoint_contents import named_leaves
from flax_transformer.training.checkpoints.initialization import take_over
from flax_transformer.training.checkpoints.workdir import Workdir
from flax_transformer.training.durability.resume_proof import differences

pytestmark = pytest.mark.usefixtures("quickly_compiled")


def train(experiment, path) -> str:
    printed = io.StringIO()
    loop.train(experiment, path, Console(file=printed, width=1000))
    return printed.getvalue()


def short(experiment, num_steps=2):
    """No step changes a weight: what is left is what training began with."""
    experiment = with_fields(experiment, "optimizer", learning_rate=1e-30)
    return with_fields(
        experiment, "training", num_steps=num_steps, evaluate_every_steps=2, log_every_steps=1
    )


def of_run(path):
    return named_leaves(open_run(path, "last").variables)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("init")


@pytest.fixture(scope="module")
def source(folder):
    """A masked language model, of other texts than those to be classified, and other tokens."""
    experiment = masked(folder)
    write_lines(folder / "other")
    (folder / "other" / "texts.txt").write_text("Ada counts cats and dogs\nBen sees a cat\n" * 20)
    text = str(folder / "other" / "texts.txt")
    data = dataclasses.replace(experiment.data, train_text=text, validation_text=text)
    experiment = dataclasses.replace(experiment, data=data)
    train(with_fields(experiment, "training", num_steps=3), folder / "source")
    return folder / "source"


def from_source(experiment, source):
    return dataclasses.replace(experiment, init_from=str(source))


def test_a_classifier_begins_with_the_body_and_the_tokens_of_a_masked_language_model(
    folder, source
):
    experiment = from_source(short(classification(folder)), source)
    printed = train(experiment, folder / "classifier")
    given, found = of_run(source), of_run(folder / "classifier")
    body = {name for name in found if name.split("/")[1] not in ("pooler", "classifier")}
    assert len(body) > 10
    for name in body:
        np.testing.assert_array_equal(found[name], given[name], err_msg=name)
    drawn = named_leaves(open_run(folder / "classifier", "last").task.init(jax.random.key(0)))
    assert (found["params/classifier/kernel"] == drawn["params/classifier/kernel"]).all()
    assert not (found["params/encoder_0/feed_forward/hidden/kernel"] == 0).all()
    tokenizers = [path / "tokenizer.json" for path in (source, folder / "classifier")]
    assert tokenizers[0].read_text() == tokenizers[1].read_text()
    assert "drawn: classifier, pooler; left there: token_bias, token_norm, token_trans" in printed
    recorded = read_experiment(folder / "classifier" / "experiment.json")
    assert recorded.init_from == str(source)


def test_a_tagger_begins_with_the_body_and_the_tokens_of_a_masked_language_model(folder, source):
    path = folder / "tagged.conllu"
    words = enumerate((("Ada", "PROPN"), ("counts", "VERB"), ("cats", "NOUN")), 1)
    rest = "\t_" * 6
    path.write_text("".join(f"{n}\t{word}\t_\t{tag}{rest}\n" for n, (word, tag) in words))
    data = TaggedWordsConfig(train_file=str(path), validation_file=str(path), max_length=LENGTH)
    experiment = dataclasses.replace(classification(folder), data=data, task=TaggingConfig())
    printed = train(from_source(short(experiment), source), folder / "tagger")
    given, found = of_run(source), of_run(folder / "tagger")
    body = {name for name in found if name.split("/")[1] != "classifier"}
    assert len(body) > 10
    for name in body:
        np.testing.assert_array_equal(found[name], given[name], err_msg=name)
    tokenizers = [path / "tokenizer.json" for path in (source, folder / "tagger")]
    assert tokenizers[0].read_text() == tokenizers[1].read_text()
    assert "drawn: classifier; left there: token_bias, token_norm, token_trans" in printed
    (tagged,) = load(folder / "tagger").tag(["Ada counts"])
    assert [word.word for word in tagged] == ["Ada", "counts"]


def test_another_number_of_classes_is_another_head(folder, source):
    first, second = folder / "two", folder / "three"
    experiment = from_source(short(classification(folder)), source)
    train(experiment, first)
    table = folder / "three.tsv"
    table.write_text("text\tlabel\nAda\ta\nBen\tb\nCleo\tc\n")
    data = dataclasses.replace(experiment.data, train_file=str(table), validation_file=str(table))
    printed = train(from_source(dataclasses.replace(experiment, data=data), first), second)
    given, found = of_run(first), of_run(second)
    assert found["params/classifier/kernel"].shape[1] == 3
    np.testing.assert_array_equal(found["params/pooler/kernel"], given["params/pooler/kernel"])
    assert "; drawn: classifier; left there: classifier" in printed


def test_a_translator_is_trained_on(folder):
    experiment = make_experiment(folder)
    experiment = with_fields(experiment, "training", num_steps=2, evaluate_every_steps=2)
    train(experiment, folder / "translator")
    again = from_source(short(experiment), folder / "translator")
    printed = train(again, folder / "again")
    assert "drawn" not in printed
    before, after = of_run(folder / "translator"), of_run(folder / "again")
    for name, leaf in before.items():
        # Where it was 0, the smallest step is one.
        np.testing.assert_allclose(after[name], leaf, rtol=0, atol=1e-20, err_msg=name)


def test_a_continued_training_does_not_begin_again(folder, source, monkeypatch):
    """Nor needs the source, once it has a checkpoint of its own."""
    experiment = with_fields(classification(folder), "training", num_steps=4)
    experiment = from_source(experiment, source)
    experiment = with_fields(
        experiment, "training", evaluate_every_steps=2, checkpoint_every_steps=2
    )
    train(experiment, folder / "straight")
    continued = folder / "continued"
    with monkeypatch.context() as patch:
        interrupt_batches(patch, 3, crash)
        with pytest.raises(KeyboardInterrupt):
            train(experiment, continued)
    source.rename(folder / "moved")
    try:
        assert "continuing after step 2" in train(experiment, continued)
    finally:
        (folder / "moved").rename(source)
    assert not list(differences(folder / "straight", continued))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"d_model": 16}, r"of other shapes \(params/embedding.* float32\[.*,32\] for .*,16\]"),
        ({"max_positions": 14}, r"params/positions/table float32\[13,32\] for float32\[14,32\]\)"),
    ],
)
def test_a_body_of_other_shapes_is_refused_and_nothing_written(folder, source, change, message):
    experiment = from_source(with_fields(classification(folder), "model", **change), source)
    with pytest.raises(UserError, match=message) as caught:
        train(experiment, folder / "refused")
    assert "\n" not in str(caught.value)
    assert not (folder / "refused").exists()


def test_another_tokenizer_is_refused(folder, source):
    """One that was put into the workdir makes a table of other rows."""
    workdir = folder / "tampered"
    experiment = from_source(short(classification(folder)), source)
    train(classification(folder), folder / "own")
    workdir.mkdir()
    tokenizer = (folder / "own" / "tokenizer.json").read_text()
    (workdir / "tokenizer.json").write_text(tokenizer)
    with pytest.raises(UserError, match=r"has another tokenizer than .*source"):
        train(experiment, workdir)


def test_a_folder_without_a_run_is_one_line(folder, source):
    experiment = classification(folder)
    with pytest.raises(UserError, match=r"unknown run of --init-from .*did you mean '.*source'"):
        train(from_source(experiment, folder / "sourse"), folder / "refused")
    with pytest.raises(UserError, match="--init-from /nowhere/run holds no run: give"):
        train(from_source(experiment, "/nowhere/run"), folder / "refused")
    (folder / "published").mkdir()
    for name in ("config.json", "experiment.json"):  # an export has both
        (folder / "published" / name).write_text("{}")
    with pytest.raises(UserError, match="is a published model, not a workdir: make one of it with"):
        train(from_source(experiment, folder / "published"), folder / "refused")
    with pytest.raises(UserError, match="is a published model, not a workdir: make one of it with"):
        Workdir(folder / "published").load()
    assert not (folder / "refused").exists()


def test_a_run_of_another_kind_of_model_is_refused(source):
    with pytest.raises(UserError, match=r"this kind of model, but .* for classifier, patches"):
        take_over({"params": {"patches": np.zeros(3), "classifier": np.zeros(5)}}, source)
