"""Chat templates of published models: from a conversation to the text that a model continues."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from flax_transformer.data.tokens import chat_rendering
from flax_transformer.errors import UserError

PATIENCE = 4 * chat_rendering.SECONDS  # other programs may use the processor


def render_chats(
    template: str,
    conversations: Sequence[Sequence[Mapping[str, Any]]],
    tokens: Mapping[str, str],
) -> list[str]:
    """Renders conversations, each with the beginning of an answer at its end.

    Args:
        template: of jinja2. It runs in the sandbox of jinja2, in a process that has one GiB of
            memory and a few seconds.
        conversations: lists of messages, each with a role and a content.
        tokens: special tokens by the names that templates use, such as bos_token.

    Raises:
        UserError: if jinja2 is not installed, or the template refuses a conversation, fails, or
            needs more than it may.
    """
    if not _has_jinja():
        raise UserError(
            "chat templates are rendered by jinja2, which is not installed: run pip install "
            "'flax_transformer[chat]'"
        )
    answer = _answer(template, conversations, tokens)
    if "broken" in answer:
        raise UserError(
            f"the chat template is broken ({_reason(answer['broken'])}): import the model with "
            "another chat_template.jinja"
        )
    if "error" in answer:
        raise UserError(
            f"the chat template does not accept this conversation ({_reason(answer['error'])}): "
            "change its messages, or import the model with another chat_template.jinja"
        )
    return answer["texts"]


def check_template(template: str, source: str) -> None:
    """Rejects a template that is not a program of jinja2; without jinja2, nothing is checked.

    Args:
        template: see `render_chats`.
        source: where it is from, for the error.
    """
    if not _has_jinja():
        return
    answer = _answer(template, [], {})
    if "broken" in answer:
        raise UserError(
            f"{source} has a broken chat template ({_reason(answer['broken'])}): correct it, or "
            "remove it to use the model without --chat"
        )


def _has_jinja() -> bool:
    return importlib.util.find_spec("jinja2") is not None


def _reason(error: str) -> str:
    return " ".join(error.split()).rstrip(".")[:200]


def _answer(
    template: str,
    conversations: Sequence[Sequence[Mapping[str, Any]]],
    tokens: Mapping[str, str],
) -> dict[str, Any]:
    """What the process says that renders the conversations."""
    given = {"template": template, "messages": conversations, "tokens": tokens}
    command = [sys.executable, "-P", chat_rendering.__file__]
    try:
        done = subprocess.run(
            command, input=json.dumps(given), capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        done = None
    except (TypeError, ValueError):
        raise UserError("messages must be dictionaries of texts, as JSON holds them") from None
    if done is None or done.returncode:
        raise UserError(
            f"the chat template takes more than {chat_rendering.SECONDS} s, or fails: import the "
            "model with another chat_template.jinja"
        )
    return json.loads(done.stdout)
