from pathlib import Path

import pytest

from flax_transformer.data.datasets.plain_text import find_documents
from flax_transformer.data.files.folders import natural_key, sort_out, tell_passed_over, visible


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(paths, folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in paths]


def test_numbers_in_names_are_ordered_as_numbers():
    names = ["a10", "2", "a1b10", "01", "", "10", "a2", "²", "1", "a", "a1b2"]
    ordered = ["", "01", "1", "2", "10", "a", "a1b2", "a1b10", "a2", "a10", "²"]
    assert sorted(names, key=natural_key) == ordered


def test_what_is_hidden_is_passed_over(tmp_path):
    touch(tmp_path, "12.png", "2.png", "._2.png", ".DS_Store", "__MACOSX/a.png", ".git/a.png")
    assert names(visible(tmp_path), tmp_path) == ["2.png", "12.png"]
    wanted, others = sort_out(tmp_path, Path.is_file)
    assert (names(wanted, tmp_path), others) == (["2.png", "12.png"], [])


def test_folders_are_entered_in_natural_order_and_each_once(tmp_path):
    touch(tmp_path, "b/10.png", "b/9.png", "b/c/1.png", "b/c.txt", "a.png", "elsewhere/1.png")
    (tmp_path / "b" / "loop").symlink_to(tmp_path / "b")
    (tmp_path / "b" / "up").symlink_to(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    wanted, others = sort_out(tmp_path / "b", lambda path: path.suffix == ".png")
    found = ["b/9.png", "b/10.png", "b/c/1.png", "b/up/a.png", "b/up/elsewhere/1.png"]
    assert names(wanted, tmp_path) == found
    assert names(others, tmp_path) == ["b/c.txt"]


def test_a_folder_that_is_wanted_is_not_entered(tmp_path):
    touch(tmp_path, "a/1.png", "b/1.txt")
    wanted, others = sort_out(tmp_path, lambda path: path.name == "a")
    assert (names(wanted, tmp_path), names(others, tmp_path)) == (["a"], ["b/1.txt"])


def test_what_is_passed_over_is_counted_and_named(tmp_path):
    with pytest.warns(UserWarning, match=r"skipped 1 file in .*, not read as images: a/b\.txt"):
        tell_passed_over([tmp_path / "a" / "b.txt"], tmp_path, "image")
    many = [tmp_path / str(number) for number in range(12)]
    with pytest.warns(UserWarning, match=r"skipped 12 files .*: 0, 1, .*, 9 and 2 more$"):
        tell_passed_over(many, tmp_path, "image")


def test_documents_are_in_natural_order_whatever_the_case_of_their_endings(tmp_path):
    touch(tmp_path, "10.txt", "9.TXT", "a/1.txt.gz", "._9.txt", "__MACOSX/._1.txt", "notes.md")
    with pytest.warns(UserWarning, match=r"skipped 1 file in .* as texts: notes\.md$"):
        found = find_documents(str(tmp_path))
    assert names(found, tmp_path) == ["9.TXT", "10.txt", "a/1.txt.gz"]
