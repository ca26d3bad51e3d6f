"""Scores of a trained model on a user's own files, instead of a split."""

import json
import shutil

import numpy as np
import pytest
from command_line import assert_is_error
from PIL import Image
from small import PAIRS
from untrained import CLASS_NAMES, EXPERIMENTS, MAX_LENGTH, write_workdir

from flax_transformer.evaluation import bleu_tokenizers

CHINESE = ["我今天去学校上课。", "他昨天在家里看书。"]


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory):
    """Makes the workdir of a kind of model once."""
    folder, made = tmp_path_factory.mktemp("workdirs"), {}

    def make(kind: str) -> str:
        if kind not in made:
            made[kind] = write_workdir(folder / kind, EXPERIMENTS[kind])
        return str(made[kind])

    return make


def record_of(result) -> dict:
    assert result.code == 0, result.err
    return json.loads(result.out)


def write(path, *lines: str) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def evaluate(run, workdir, *words):
    return run("evaluate", "--workdir", str(workdir), "--json", *map(str, words))


@pytest.mark.usefixtures("trained")
def test_a_translator_is_scored_on_ones_own_sentences(run, folder, tmp_path):
    pairs = PAIRS[3:10]
    source = write(tmp_path / "own.en", *(pair.source for pair in pairs))
    target = write(tmp_path / "own.de", *(pair.target for pair in pairs))
    before = sorted(path for path in (folder / "prepared").rglob("*"))
    words = ["--source", source, "--target", target, "--decoding.method", "greedy"]
    record = record_of(evaluate(run, "run", *words))
    assert record["scores"]["exact_match"]["value"] == 100
    assert record["scores"]["token_accuracy"]["value"] == 100
    assert record["split"] is None
    assert record["files"] == {"source": source, "target": target}
    [kept] = (folder / "run/scores").glob("own.de-*-average-greedy.json")
    assert json.loads(kept.read_text()) == record
    outputs = kept.with_suffix(".txt").read_text(encoding="utf-8").splitlines()
    assert outputs == [pair.target for pair in pairs]
    # No file is left in the folder of prepared data or beside the user's files.
    assert sorted(path for path in (folder / "prepared").rglob("*")) == before
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.usefixtures("trained")
def test_one_of_several_references_is_enough(run, tmp_path):
    source = write(tmp_path / "own.en", *(pair.source for pair in PAIRS[:4]))
    references = [
        [pair.target if number % 2 else "etwas" for number, pair in enumerate(PAIRS[:4])],
        [pair.target if number % 2 == 0 else "etwas" for number, pair in enumerate(PAIRS[:4])],
    ]
    paths = [write(tmp_path / f"{n}.de", *texts) for n, texts in enumerate(references)]
    one = record_of(evaluate(run, "run", "--source", source, "--target", paths[0]))
    twice = ["--target", paths[0], "--target", paths[1]]
    both = record_of(evaluate(run, "run", "--source", source, *twice))
    assert one["scores"]["exact_match"]["value"] == 50
    assert both["scores"]["exact_match"]["value"] == 100
    assert "nrefs:2|" in both["scores"]["bleu"]["signature"]
    assert both["files"] == {"source": source, "target": paths[0], "target_2": paths[1]}
    short = write(tmp_path / "short.de", "eins")
    result = evaluate(run, "run", "--source", source, "--target", paths[0], "--target", short)
    assert_is_error(result, "own.en has 4 lines but .*short.de has 1")
    # Every file that is not read is reported.
    assert evaluate(run, "run", "--source", source, "--target", *paths).code == 2


@pytest.mark.usefixtures("trained")
def test_files_of_one_name_in_two_folders_have_records_of_their_own(run, folder, tmp_path):
    for name, pair in (("a", PAIRS[0]), ("b", PAIRS[1])):
        (tmp_path / name).mkdir()
        source = write(tmp_path / name / "same.en", pair.source)
        target = write(tmp_path / name / "same.de", pair.target)
        record_of(evaluate(run, "run", "--source", source, "--target", target))
    assert len(list((folder / "run/scores").glob("same.de-*.json"))) == 2


@pytest.mark.usefixtures("trained")
def test_the_table_names_the_files(run, tmp_path):
    source, target = (write(tmp_path / f"x.{side}", "two") for side in ("en", "de"))
    result = run("evaluate", "--workdir", "run", "--source", source, "--target", target)
    assert result.code == 0, result.err
    assert source in result.out.replace("\n", "")
    assert target in result.out.replace("\n", "")


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("options", "tokenizer"),
    [([], "zh"), (["--bleu-tokenizer", "char"], "char"), (["--bleu-tokenizer", "13a"], "13a")],
)
def test_bleu_follows_the_script_of_the_files_or_what_is_asked_for(
    run, folder, tmp_path, options, tokenizer
):
    source = write(tmp_path / "own.en", "one", "two")
    target = write(tmp_path / f"own-{tokenizer}.zh", *CHINESE)
    record = record_of(evaluate(run, "run", "--source", source, "--target", target, *options))
    assert f"|tok:{tokenizer}|" in record["scores"]["bleu"]["signature"]
    [kept] = (folder / "run/scores").glob(f"own-{tokenizer}.zh-*.json")
    assert kept.stem.endswith("".join(f"-{word}" for word in options[1:]))


@pytest.mark.usefixtures("trained")
def test_a_tokenizer_that_is_not_installed_is_refused_at_the_start(run, folder, monkeypatch):
    monkeypatch.setattr(bleu_tokenizers, "find_spec", lambda name: None)
    if (folder / "other").exists():
        shutil.rmtree(folder / "other")
    words = ["--workdir", "other", "--task.bleu-tokenizer", "ko-mecab"]
    result = run("train", "small.py", *words)
    assert_is_error(
        result, r"--task.bleu-tokenizer ko-mecab needs .* pip install 'sacrebleu\[ko\]'"
    )
    assert not (folder / "other").exists()
    result = evaluate(run, "run", "--bleu-tokenizer", "ko-mecab")
    assert_is_error(result, "--task.bleu-tokenizer ko-mecab needs")
    assert_is_error(evaluate(run, "run", "--bleu-tokenizer", "chra"), "chra")


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--source", "three.txt"], "--target is missing: .* scored on --source and --target"),
        (["--target", "three.txt"], "--source is missing"),
        (["--file", "three.txt"], "--file does not fit this model: give --source and --target"),
        (["--folder", "."], "--folder does not fit this model: give --source and --target"),
        (
            ["--source", "three.txt", "--target", "source.txt"],
            "three.txt has 3 lines but .*source.txt has 20",
        ),
        (["--source", "empty.txt", "--target", "three.txt"], "empty.txt is empty"),
        (["--source", "no.txt", "--target", "three.txt"], "no.txt does not exist"),
        (["--source", "latin.txt", "--target", "three.txt"], "latin.txt, line 3 is not UTF-8"),
        (
            ["--split", "test", "--source", "three.txt", "--target", "three.txt"],
            "--split and --source both say what to score on: leave one out",
        ),
    ],
)
def test_files_that_do_not_fit_are_one_line(run, folder, words, message):
    assert_is_error(evaluate(run, "run", *words), message)


def test_a_classifier_is_scored_on_a_table(run, workdirs, tmp_path):
    path = tmp_path / "own.csv"
    write(path, "label,text", 'newt,"a, b"', "cat,two", "newt,twenty")
    record = record_of(evaluate(run, workdirs("texts"), "--file", path))
    assert record["files"] == {"file": str(path)}
    counts = {name: row["examples"] for name, row in record["details"]["per_class"].items()}
    assert counts == {"cat": 1, "dog": 0, "newt": 2, "owl": 0, "yak": 0}
    assert np.sum(record["details"]["confusions"]) == 3
    assert "top5_accuracy" not in record["scores"]


@pytest.mark.parametrize(
    ("name", "lines", "message"),
    [
        ("a.csv", ["text,label", "a,newtt"], "line 2: 'newtt': did you mean 'newt'"),
        ("a.csv", ["text,label"], "a.csv has no line below"),
        ("a.csv", ["text,class", "a,newt"], "line 1 names no column 'label'"),
        ("a.txt", ["text,label", "a,newt"], "a.txt ends in neither .csv nor .tsv"),
    ],
)
def test_a_table_that_cannot_be_scored_is_one_line(run, workdirs, tmp_path, name, lines, message):
    path = write(tmp_path / name, *lines)
    assert_is_error(evaluate(run, workdirs("texts"), "--file", path), message)


def test_long_texts_of_ones_own_are_told(run, workdirs, tmp_path):
    path = write(tmp_path / "own.tsv", "text\tlabel", f"{'a' * 99}\tcat", "b\tdog")
    result = evaluate(run, workdirs("texts"), "--file", path)
    assert record_of(result)["scores"]["loss"]["value"] > 0
    line = f"1 of 2 texts is longer than --data.max-length {MAX_LENGTH} and is cut"
    assert result.err == f"warning: {line}\n"


@pytest.mark.parametrize("kind", ["images", "videos"])
def test_a_classifier_of_pixels_is_scored_on_folders_of_classes(run, workdirs, tmp_path, kind):
    rng = np.random.default_rng(0)
    for name, number in (("newt", 2), ("cat", 3)):
        (tmp_path / "own" / name).mkdir(parents=True)
        for index in range(number):
            frames = [Image.fromarray(rng.integers(0, 256, (7, 9, 3), np.uint8)) for _ in range(6)]
            first, *rest = frames
            path = tmp_path / "own" / name / f"{index}.gif"
            first.save(path, save_all=True, append_images=rest if kind == "videos" else [])
    before = sorted(tmp_path.rglob("*"))
    record = record_of(evaluate(run, workdirs(kind), "--folder", tmp_path / "own"))
    counts = {name: row["examples"] for name, row in record["details"]["per_class"].items()}
    assert counts == dict.fromkeys(CLASS_NAMES, 0) | {"newt": 2, "cat": 3}
    assert sorted(tmp_path.rglob("*")) == before
    # The same files with `classify`: the class given most often is the same.
    given = {name: row["given"] for name, row in record["details"]["per_class"].items()}
    files = [str(path) for path in sorted((tmp_path / "own").rglob("*.gif"))]
    told = run("classify", *files, "--workdir", workdirs(kind)).out.splitlines()
    labels = [line.split("\t")[0] for line in told]
    assert given == {name: labels.count(name) for name in CLASS_NAMES}


def test_folders_that_are_no_classes_are_one_line(run, workdirs, tmp_path):
    workdir = workdirs("images")
    picture = tmp_path / "own" / "newts" / "a.png"
    picture.parent.mkdir(parents=True)
    Image.new("L", (5, 5)).save(picture)
    folder = tmp_path / "own"
    assert_is_error(
        evaluate(run, workdir, "--folder", picture), "is not a folder: give a folder with"
    )
    assert_is_error(evaluate(run, workdir, "--folder", folder), "'newts': did you mean 'newt'")
    picture.parent.rename(folder / "newt")
    shutil.copytree(folder, folder / "test" / "x")
    result = evaluate(run, workdir, "--folder", folder)
    assert_is_error(result, rf"'test'.*give {folder}/test to score on that split")
    shutil.rmtree(folder / "test")
    (folder / "newt" / "b.png").write_text("no image")
    (folder / "newt" / "c.png").write_text("no image")
    result = evaluate(run, workdir, "--folder", folder)
    assert_is_error(result, r"cannot read 2 files: .*b.png .*c.png .*fix them, or take them away")
    assert "skip-bad-files" not in result.err
    (tmp_path / "none").mkdir()
    assert_is_error(evaluate(run, workdir, "--folder", tmp_path / "none"), "has no class folder")


def test_a_language_model_is_scored_on_a_text(run, workdirs, tmp_path):
    path = write(tmp_path / "own.txt", *["abc abc abd"] * 7)
    record = record_of(evaluate(run, workdirs("language_model"), "--file", path))
    bits = record["scores"]["bits_per_byte"]["value"]
    # Every character is a token of one byte; the end mark is a token without bytes.
    num_bytes = 7 * 12
    loss = record["scores"]["loss"]["value"]
    assert bits == pytest.approx(loss * (num_bytes + 1) / num_bytes / np.log(2))
    assert record["files"] == {"file": str(path)}


@pytest.mark.parametrize("lines", [["two twenty-two two"] * 5, ["a"]])
def test_a_masked_language_model_is_scored_on_a_text_of_any_length(run, workdirs, tmp_path, lines):
    """A token of a text of one letter is rarely hidden: evaluation tries again."""
    path = write(tmp_path / "own.txt", *lines)
    first, again = (evaluate(run, workdirs("masked"), "--file", path) for _ in range(2))
    scores = record_of(first)["scores"]
    assert scores == record_of(again)["scores"]
    assert scores["loss"]["value"] > 0


def test_blank_lines_are_no_text_to_hide_tokens_of(run, workdirs, tmp_path):
    path = write(tmp_path / "blank.txt", "", "  ", "")
    assert_is_error(evaluate(run, workdirs("masked"), "--file", path), "has no line of text: give")


@pytest.mark.parametrize("kind", ["masked", "language_model"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--source", "three.txt", "--target", "three.txt"], "--source does not fit .* --file"),
        (["--folder", "."], "--folder does not fit this model: give --file"),
        (["--file", "empty.txt"], "empty.txt has 0 characters"),
        (["--file", "no.txt"], "no.txt does not exist"),
        (["--bleu-tokenizer", "zh"], "has no --bleu-tokenizer: leave it out"),
    ],
)
def test_a_text_that_cannot_be_scored_is_one_line(run, workdirs, kind, words, message):
    assert_is_error(evaluate(run, workdirs(kind), *words), message)
