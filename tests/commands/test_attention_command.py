import html
import json
import re

import pytest
from command_line import assert_is_error
from small import PAIRS

TEXT, TARGET = PAIRS[7]


def tokens_of(page):
    (header,) = re.findall(r'id="header">(.*?)</script>', page)
    return json.loads(header)["tokens"]


@pytest.mark.usefixtures("trained")
def test_the_page_shows_the_translation_that_translate_prints(run, tmp_path):
    out = tmp_path / "page.html"
    result = run("attention", "--workdir", "run", TEXT, "--out", str(out))
    expected = f"{TEXT} → {TARGET}\nshown in {out}: open it in a browser\n"
    assert (result.code, result.out, result.err) == (0, expected, "")
    assert run("translate", "--workdir", "run", TEXT).out == f"{TARGET}\n"
    page = out.read_text("utf-8")
    assert f"<h1>{html.escape(TEXT)} → {TARGET}</h1>" in page
    tokens = tokens_of(page)
    assert "".join(tokens["source"]).replace("␣", " ") == f"{TEXT}</s>"
    assert "".join(tokens["target"]).replace("␣", " ") == f"<s>{TARGET}"
    for part in ("encoder", "decoder", "cross"):
        assert f'id="{part}-0"' in page


@pytest.mark.usefixtures("trained")
def test_a_target_takes_the_translation_s_place(run, folder):
    result = run("attention", "--workdir", "run", TEXT, "--target", "zwei\nZüge")
    expected = f"{TEXT} → zwei Züge\nshown in attention.html: open it in a browser\n"
    assert (result.code, result.out) == (0, expected)
    tokens = tokens_of((folder / "attention.html").read_text("utf-8"))
    assert "".join(tokens["target"]) == r"<s>zwei⏎Z\xc3\xbcge"


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workdir", "run"], "Missing from flax-transformer attention: STR Text to translate"),
        (["a"], "Missing from flax-transformer attention: --workdir"),
        (["a", "--workdir", "nothing"], "nothing holds no run"),
        ([" ", "--workdir", "run"], "text is blank: give one"),
        (["a", "--workdir", "run", "--target", ""], "target is blank: give one"),
        (["twenty two " * 30, "--workdir", "run"], r"text has \d+ tokens, but the model reads 24"),
        (["a", "--workdir", "run", "--out", "no/a.html"], r"no folder no for the page a\.html"),
    ],
)
def test_a_mistake_gets_one_line(run, words, message):
    assert_is_error(run("attention", *words), message)
