import re

import pytest
from matplotlib.figure import Figure

from flax_transformer.errors import UserError
from flax_transformer.visualization.pictures import save_picture

MAGIC = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.mark.parametrize("suffix", MAGIC)
def test_a_picture_is_written_in_the_format_of_its_name(tmp_path, suffix):
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(b"old")
    save_picture(Figure(), path)
    assert path.read_bytes().startswith(MAGIC[suffix])
    assert list(tmp_path.iterdir()) == [path]


def test_a_picture_that_fails_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")

    def fail(figure, unfinished):
        unfinished.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(OSError, match="disk full"):
        save_picture(Figure(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["picture", "picture.txt", "picture.docx"])
def test_a_name_without_a_known_format_is_refused(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(UserError, match=rf"{re.escape(str(path))}: end its name .*\.png.*\.svg"):
        save_picture(Figure(), path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match=f"no folder {re.escape(str(tmp_path / 'new'))} for"):
        save_picture(Figure(), tmp_path / "new" / "picture.png")
