"""`classify` with folders, with bad inputs, and with one input that is not in a list."""

import json

import numpy as np
import pytest
from command_line import assert_is_error
from PIL import Image
from untrained import CLASS_NAMES, EXPERIMENTS, write_workdir

import flax_transformer


@pytest.fixture(scope="module")
def workdirs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("untrained")
    kinds = ("texts", "images", "videos")
    return {kind: str(write_workdir(folder / kind, EXPERIMENTS[kind])) for kind in kinds}


@pytest.fixture
def images(tmp_path):
    """Images 1, 2 and 10 in a folder, the last in a nested one, and a file that is not an image."""
    rng = np.random.default_rng(0)
    for name in ("10/a.png", "2.PNG", "1.tif", "._1.tif", "__MACOSX/1.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (9, 7), np.uint8)).save(path)
    return tmp_path / "images"


def columns(out: str) -> list[list[str]]:
    return [line.split("\t") for line in out.splitlines()]


def test_a_folder_gives_a_line_an_image_with_its_name(run, workdirs, images):
    found = run("classify", str(images), "--workdir", workdirs["images"])
    assert (found.code, found.err) == (0, "")
    names = [str(images / name) for name in ("1.tif", "2.PNG", "10/a.png")]
    assert [line[-1] for line in columns(found.out)] == names
    each = run("classify", *names, "--workdir", workdirs["images"])
    assert each.out == found.out
    told = run("classify", str(images), "--workdir", workdirs["images"], "--json")
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["input"] for line in lines] == names
    assert [line["label"] for line in lines] == [line[0] for line in columns(found.out)]
    assert {tuple(sorted(line["probabilities"])) for line in lines} == {CLASS_NAMES}
    of_lines = run("classify", "--workdir", workdirs["images"], stdin=f"{images}\n".encode())
    assert of_lines.out == found.out


def test_what_is_passed_over_in_a_folder_is_told(run, workdirs, images):
    (images / "notes.txt").touch()
    found = run("classify", str(images), "--workdir", workdirs["images"])
    assert found.code == 0
    assert len(columns(found.out)) == 3
    assert found.err == f"warning: skipped 1 file in {images}, not read as images: notes.txt\n"


@pytest.mark.parametrize("kind", ["images", "videos"])
def test_an_empty_folder_is_an_error(run, workdirs, tmp_path, kind):
    (tmp_path / "nothing").mkdir()
    result = run("classify", str(tmp_path / "nothing"), "--workdir", workdirs[kind])
    assert_is_error(result, f"nothing has no {kind[:-1]} .*: give another folder")


def test_good_inputs_are_answered_although_others_are_bad(run, workdirs, images, tmp_path):
    (images / "3.jpg").write_text("<html>")
    (tmp_path / "nothing").mkdir()
    words = [str(tmp_path / "nothing"), str(images), "none.png", str(images / "1.tif")]
    found = run("classify", *words, "--workdir", workdirs["images"])
    assert found.code == 2
    names = [str(images / name) for name in ("1.tif", "2.PNG", "10/a.png", "1.tif")]
    assert [line[-1] for line in columns(found.out)] == names
    errors = found.err.splitlines()
    assert len(errors) == 3
    assert "nothing has no image" in errors[0]
    assert f"error: cannot read {images / '3.jpg'} (it is empty or not an image" in errors[1]
    assert "error: cannot read none.png (No such file or directory)" in errors[2]
    good = run("classify", *names, "--workdir", workdirs["images"])
    assert (good.out, good.code) == (found.out, 0)


def test_a_blank_line_is_not_the_folder_one_is_in(run, workdirs, images):
    result = run("classify", "--workdir", workdirs["images"], stdin=f"\n{images}\n".encode())
    assert result.code == 2
    assert result.out.startswith("\n")
    assert len(columns(result.out[1:])) == 3
    assert result.err == "error: a blank line is not the name of a file: give images\n"


def test_each_line_of_standard_input_has_its_line_of_output(run, workdirs, images):
    names = ["none.png", str(images / "1.tif"), "other.png"]
    stdin = "".join(f"{name}\n" for name in names).encode()
    plain = run("classify", "--workdir", workdirs["images"], stdin=stdin)
    assert [line.split("\t")[-1] for line in plain.out.splitlines()] == ["", names[1], ""]
    records = run("classify", "--workdir", workdirs["images"], "--json", stdin=stdin)
    errors = ["error" in json.loads(line) for line in records.out.splitlines()]
    assert errors == [True, False, True]
    assert (plain.code, records.code) == (2, 2)


def test_many_files_are_answered(run, workdirs, tmp_path):
    for number in range(300):
        Image.new("L", (6, 4), number % 256).save(tmp_path / f"{number}.bmp")
    found = run("classify", str(tmp_path), "--workdir", workdirs["images"])
    names = [str(tmp_path / f"{number}.bmp") for number in range(300)]
    assert [line[-1] for line in columns(found.out)] == names


def clip(path, *grays: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *rest = [Image.new("L", (9, 7), gray) for gray in grays]
    first.save(path, save_all=True, append_images=rest)


def test_a_folder_of_images_is_a_clip_and_one_of_clips_is_a_line_a_clip(run, workdirs, tmp_path):
    for number in (2, 10, 1):
        clip(tmp_path / "frames" / f"{number}.png", 20 * number)
        clip(tmp_path / "clips" / f"{number}.gif", number, 2 * number)
    clip(tmp_path / "clips" / "frames" / "1.png", 7)
    command = ["--workdir", workdirs["videos"]]
    one = run("classify", str(tmp_path / "frames"), *command)
    assert [line[-1] for line in columns(one.out)] == [str(tmp_path / "frames")]
    several = run("classify", str(tmp_path / "clips"), *command)
    names = [str(tmp_path / "clips" / name) for name in ("1.gif", "2.gif", "10.gif", "frames")]
    assert [line[-1] for line in columns(several.out)] == names
    assert several.err == ""


def test_lines_of_texts_are_as_they_were(run, workdirs, tmp_path):
    # A text that is the name of a folder is a text.
    found = run("classify", "two", str(tmp_path), "--workdir", workdirs["texts"])
    assert [len(line) for line in columns(found.out)] == [2, 2]
    told = run("classify", "two", "--workdir", workdirs["texts"], "--json")
    found = json.loads(told.out)
    assert list(found) == ["index", "input", "label", "probabilities"]
    assert (found["index"], found["input"]) == (0, "two")


def test_one_input_in_no_list_is_one_input(workdirs, images):
    texts = flax_transformer.load(workdirs["texts"])
    assert texts.classify("one text") == texts.classify(["one text"])
    assert len(texts.classify("one text")) == 1
    classifier = flax_transformer.load(workdirs["images"])
    path = images / "1.tif"
    (expected,) = classifier.classify([path])
    with Image.open(path) as image:
        for one in (path, str(path), image, np.asarray(image)):
            assert classifier.classify(one) == [expected]
        several = classifier.classify([image, np.asarray(image)])
    for prediction in several:  # in a batch of another size, of which rounding differs
        assert prediction.probabilities == pytest.approx(expected.probabilities, rel=1e-4)


def test_where_a_model_looks_on_an_image_that_is_no_file(workdirs, images):
    classifier = flax_transformer.load(workdirs["images"])
    path = images / "1.tif"
    of_file = classifier.attend(path)
    with Image.open(path) as image:
        found = classifier.attend(image)
    assert of_file["title"] == f"{path} → {found['title']}"
    np.testing.assert_array_equal(found["image"], of_file["image"])


def test_where_a_model_looks_is_not_asked_of_a_folder(run, workdirs, images):
    result = run("attention", str(images), "--workdir", workdirs["images"])
    assert_is_error(result, "it is a folder: give the images in it")
