"""Chat templates are programs of strangers: each is bounded, and refused in one line."""

import json
import sys

import pytest
from chat_templates import CHATML, QUESTION

from flax_transformer.data.tokens import chat_template
from flax_transformer.data.tokens.chat_template import render_chats
from flax_transformer.data.tokens.published_folder import read_chat_template
from flax_transformer.errors import UserError

pytest.importorskip("jinja2", reason="jinja2 is not installed: pip install '.[chat]'")


def refused(template: str) -> str:
    with pytest.raises(UserError) as error:
        render_chats(template, [QUESTION], {"bos_token": "<s>"})
    assert "\n" not in str(error.value)
    assert not str(error.value).endswith(".")
    return str(error.value)


def test_a_conversation_ends_with_the_beginning_of_an_answer():
    (text,) = render_chats(CHATML, [QUESTION], {})
    assert text == (
        "<|im_start|>system\nYou answer briefly.<|im_end|>\n"
        "<|im_start|>user\n What is <b>tz & ß</b>? <|im_end|>\n<|im_start|>assistant\n"
    )


DOUBLING = "{% set n = namespace(a='aa') %}{% for i in range(99) %}{% set n.a = n.a ~ n.a %}"
LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}"
ENDS = "{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ messages.append(1) }}", "access to attribute 'append' of 'list' object is unsafe"),
        ("{{ cycler.__init__.__globals__.os.popen('x') }}", "is unsafe"),
        ("{% include '/etc/passwd' %}", "no loader for this environment"),
        ("{% for i in range(10**9) %}{% endfor %}", "Range too big"),
        ("{{ 'a' * 10**6 * 10 }}", "it writes more than 1,000,000 characters"),
        ("{{ 'a' * 10**10 }}", "it needs more than 1,073,741,824 bytes"),
        ("{{ '%9999999999d' % 1 }}", "it needs more than 1,073,741,824 bytes"),
        (DOUBLING + "{% endfor %}", "it needs more than 1,073,741,824 bytes"),
        ("{{ ''.nothing.more }}", "has no attribute 'nothing'"),
        ("{% for %}", "Expected an expression"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "recursion"),
    ],
)
def test_an_attack_is_refused_in_one_line(template, message):
    if "bytes" in message and sys.platform != "linux":
        pytest.skip("only Linux limits the memory of a process")
    assert message in refused(template)


def test_a_template_that_runs_for_long_is_ended(monkeypatch):
    monkeypatch.setattr(chat_template, "PATIENCE", 1)
    assert refused(LOOPS + ENDS).startswith("the chat template takes more than 5 s, or fails: ")


@pytest.mark.parametrize("given", [7, [{"name": "other", "template": "x"}], ["x"]])
def test_only_texts_are_templates(given, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": given}))
    if isinstance(given, list) and isinstance(given[0], dict):
        assert not read_chat_template(tmp_path)  # none is named default
    else:
        with pytest.raises(UserError, match=r"has a chat_template .*: give a text"):
            read_chat_template(tmp_path)


def test_without_jinja_the_message_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(UserError, match=r"run pip install 'flax_transformer\[chat\]'"):
        render_chats(CHATML, [QUESTION], {})
