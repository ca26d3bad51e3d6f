import json

import pytest
from command_line import assert_is_error
from matplotlib.figure import Figure

from flax_transformer.commands.positions_command import Positions
from flax_transformer.evaluation.wishes import HEADINGS, Verdict, check_wishes
from flax_transformer.functional import SCHEMES


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Wishes that cost nothing, in a folder for the picture: the measuring has its own tests."""
    monkeypatch.chdir(tmp_path)
    no, yes = Verdict(False, "in [0, 7] in 5 steps"), Verdict(True, "1.5 apart")
    wishes = dict(zip(HEADINGS, (yes, yes, yes, no), strict=True))
    monkeypatch.setattr(
        "flax_transformer.commands.positions_command.check_wishes", lambda _: wishes
    )
    return wishes


def test_the_table_sets_schemes_against_wishes(measured, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "300")
    Positions().run()
    lines = capsys.readouterr().out.splitlines()
    heading = next(line for line in lines if "name" in line)
    places = [heading.index(words) for words in HEADINGS.values()]
    assert places == sorted(places)
    for name in SCHEMES:
        (line,) = [line for line in lines if f" {name} " in line]
        assert line.count("yes") == 3
        assert line.index("no: in [0, 7] in 5 steps") == places[-1]


def test_json_holds_every_figure(measured, capsys):
    Positions(json=True).run()
    expected = {wish: verdict._asdict() for wish, verdict in measured.items()}
    assert json.loads(capsys.readouterr().out) == dict.fromkeys(SCHEMES, expected)


def test_every_wish_has_a_heading():
    assert list(HEADINGS) == list(check_wishes(SCHEMES["number"]))


@pytest.mark.parametrize("as_json", [True, False])
def test_a_picture_is_drawn_where_it_is_asked_for(measured, tmp_path, capsys, monkeypatch, as_json):
    sizes = []
    monkeypatch.setattr(
        "flax_transformer.commands.positions_command.plot_positions",
        lambda *given: sizes.append(given) or Figure(),
    )
    path = tmp_path / "positions.png"
    Positions(json=as_json, out=path, length=5, d_model=7).run()
    assert sizes == [(5, 7)]
    assert path.read_bytes().startswith(b"\x89PNG")
    written = capsys.readouterr()
    if as_json:
        json.loads(written.out)
    assert f"drawn in {path}" in (written.err if as_json else written.out)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--out", "missing/positions.png", "no folder missing for the picture positions.png"),
        ("--out", "positions.docx", r"positions\.docx: end its name in one of .*\.png"),
        ("--length", "1", "length must be at least 2, not 1"),
        ("--d-model", "0", "--d-model must be at least 2, not 0"),
    ],
)
def test_a_picture_that_cannot_be_is_refused_before_the_work(option, value, message, run):
    assert_is_error(run("positions", option, value), message)
