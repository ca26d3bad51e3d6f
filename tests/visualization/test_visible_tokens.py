import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flax_transformer.visualization.visible_text import visible_token


@pytest.mark.parametrize(
    ("token", "seen"),
    [
        ("word", "word"),
        ("</script>", "</script>"),
        ("", "∅"),
        ("   ", "␣␣␣"),
        (" a b ", "␣a b␣"),
        ("\ta\r\n", "⇥a␍⏎"),
        ("a\u200bb\u200d", "a[U+200B]b[U+200D]"),
        ("\u202eevil", "[U+202E]evil"),
        ("\u0301", "◌\u0301"),
        ("\x00\ud800\uffff", "[U+0000][U+D800][U+FFFF]"),
        ("猫😀", "猫😀"),
    ],
)
def test_each_kind_of_character(token, seen):
    assert visible_token(token) == seen


@given(st.text(st.characters(exclude_categories=["Cn"])))
def test_every_character_is_seen_and_xml_takes_it(token):
    seen = visible_token(token)
    assert seen == seen.strip()
    assert len(seen) >= max(len(token), 1)
    assert {unicodedata.category(c) for c in seen if c != " "}.isdisjoint(
        {"Cc", "Cf", "Cs", "Zs", "Zl", "Zp"}
    )
