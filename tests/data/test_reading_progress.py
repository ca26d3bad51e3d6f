import io

import pytest
from rich.console import Console

from flax_transformer.data.files import reading_progress
from flax_transformer.data.files.reading_progress import show_progress


def shown(is_terminal: bool) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=is_terminal, width=80)
    assert list(show_progress("reading train", [3, 5, 7], console)) == [3, 5, 7]
    return stream.getvalue()


def test_a_terminal_shows_how_much_is_done():
    assert "reading train" in shown(is_terminal=True)
    assert "3/3" in shown(is_terminal=True)


def test_elsewhere_a_line_is_printed_now_and_then(monkeypatch):
    assert shown(is_terminal=False) == ""
    monkeypatch.setattr(reading_progress, "SECONDS_SILENT", -1)
    assert shown(is_terminal=False).splitlines()[1:] == [
        "reading train: 2 of 3",
        "reading train: 3 of 3",
    ]


@pytest.mark.parametrize("seconds", [-1, 10])
def test_nothing_is_printed_on_standard_output(monkeypatch, capsys, seconds):
    monkeypatch.setattr(reading_progress, "SECONDS_SILENT", seconds)
    assert list(show_progress("reading train", [3])) == [3]
    found = capsys.readouterr()
    assert found.out == ""
    assert found.err == ("reading train: 1 of 1\n" if seconds < 0 else "")
