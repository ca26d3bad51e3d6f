import errno
import os
import stat
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
from matplotlib.figure import Figure

from flax_transformer.errors import UserError
from flax_transformer.visualization.attention_view import AttentionView
from flax_transformer.visualization.pictures import save_picture
from flax_transformer.whole_files import check_target, written_whole, written_whole_folder


def test_a_file_that_fails_half_written_leaves_the_old_one(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")

    def fail():
        with written_whole(path) as unfinished:
            unfinished.write_text("ne")
            assert path.read_text() == "old"
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("page.html", "old")]


def test_a_full_disk_is_reported_with_the_name_of_the_file(tmp_path):
    def fail():
        with written_whole(tmp_path / "page.html"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left on device: '.*/page\.html'"):
        fail()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    def fail():
        with written_whole_folder(tmp_path / "out") as unfinished:
            (unfinished / "one").write_text("1")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(UserError, match=r"out cannot be written \(No space left on device\): make"):
        fail()
    assert not list(tmp_path.iterdir())


def save_page(path):
    AttentionView("<p>seven</p>", "seven").save(path)


def save_figure(path):
    save_picture(Figure(), path)


@pytest.mark.parametrize("save", [save_page, save_figure])
def test_a_pipe_stays_one_also_behind_a_link(tmp_path, save):
    pipe, link = tmp_path / "pipe.png", tmp_path / "link.png"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(UserError, match=f"^{path} is not a file: give another name for the p"):
            save(path)
    assert stat.S_ISFIFO(pipe.lstat().st_mode)
    assert link.is_symlink()


@pytest.mark.parametrize("path", ["/dev/null", "/", "."])
def test_a_device_or_a_folder_is_no_target(path):
    with pytest.raises(UserError, match=f"^{path} is not a file: give another name for the page$"):
        check_target(Path(path), "page")


@pytest.mark.parametrize("is_there", [True, False])
def test_a_link_stays_and_its_file_is_written(tmp_path, is_there):
    (tmp_path / "pages").mkdir()
    page, link = tmp_path / "pages" / "page.html", tmp_path / "link.html"
    if is_there:
        page.write_text("old")
    link.symlink_to("pages/page.html")
    save_page(link)
    assert link.is_symlink()
    assert page.read_text() == "<p>seven</p>"


def test_a_link_into_a_missing_folder_is_no_target(tmp_path):
    link = tmp_path / "link.html"
    link.symlink_to("missing/page.html")
    with pytest.raises(UserError, match=f"^no folder {tmp_path}/missing for the page page.html"):
        check_target(link, "page")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks of folders")
def test_what_a_killed_process_has_left_is_removed_and_what_is_in_use_stays(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from flax_transformer.whole_files import written_whole_folder\n"
        "with written_whole_folder(Path(sys.argv[1])) as unfinished:\n"
        "    (unfinished / 'part').write_text('half')\n"
        "    print(flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    other = tmp_path / ".7.mine"
    other.mkdir()
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        (hidden,) = {*tmp_path.iterdir()} - {other}
        with written_whole_folder(tmp_path / "out"):
            assert (hidden / "part").exists()
        (tmp_path / "out").rmdir()
        writer.kill()
    assert hidden.exists()
    with written_whole_folder(tmp_path / "out"):
        assert not hidden.exists()
    assert {*tmp_path.iterdir()} == {other, tmp_path / "out"}
