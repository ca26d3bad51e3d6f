import re
import runpy
from pathlib import Path

import pytest
from rich.table import Table

from flax_transformer.functional import SCHEMES

SCRIPT = Path(__file__).parent.parent / "experiments" / "word_order.py"


@pytest.fixture(scope="module")
def differences():
    """What the script prints: the largest difference of a word by encoder."""
    printed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rich.console.Console.print", lambda _, x, **__: printed.append(x))
        runpy.run_path(str(SCRIPT), run_name="__main__")
    (table,) = [x for x in printed if isinstance(x, Table)]
    names, values = (map(str, column.cells) for column in table.columns)
    return dict(zip(names, map(float, values), strict=True))


def test_every_scheme_is_shown_and_a_recurrent_encoder_beside_them(differences):
    assert set(differences) == {*SCHEMES, "(recurrent)"}


def test_without_positions_who_defeated_whom_is_not_told(differences):
    assert differences.pop("none") < 1e-5
    assert min(differences.values()) > 1e-3


def test_the_sentences_have_the_same_words():
    sentences = runpy.run_path(str(SCRIPT))["SENTENCES"]
    assert len(set(sentences)) == 2
    assert len({tuple(sorted(re.findall(r"\w+", s.lower()))) for s in sentences}) == 1
