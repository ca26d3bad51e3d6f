"""Renders chat templates; this file runs as a process of its own, with little time and memory.

A template is a program of strangers. The sandbox of jinja2 keeps it from files and from Python
itself, but not from filling the memory or running for hours.
"""

import contextlib
import datetime
import json
import sys
from typing import Any

SECONDS = 5
MEMORY = 1 << 30  # bytes
LONGEST = 1_000_000  # characters of a conversation


def main() -> None:
    """Reads a template, conversations and tokens as JSON; prints their texts, or an error.

    The key of an error is "broken" if the template is not a program, "error" otherwise.
    """
    _limit()
    given, problem = json.load(sys.stdin), "broken"
    try:
        template = _environment().from_string(given["template"])
        problem = "error"
        answer = {"texts": [_render(template, it, given["tokens"]) for it in given["messages"]]}
    except MemoryError:
        answer = {problem: f"it needs more than {MEMORY:,} bytes"}
    except Exception as error:  # a template may raise any
        answer = {problem: f"{error}" or type(error).__name__}
    print(json.dumps(answer))


def _render(template: Any, messages: list[Any], tokens: dict[str, str]) -> str:
    said = {"messages": messages, "add_generation_prompt": True, "tools": None, "documents": None}
    text = ""
    for part in template.generate(**tokens, **said):
        text += part
        if len(text) > LONGEST:
            raise ValueError(f"it writes more than {LONGEST:,} characters")
    return text


def _limit() -> None:
    """Limits this process where the operating system can; time is limited from outside too."""
    with contextlib.suppress(ImportError):
        import resource

        for kind, limit in ((resource.RLIMIT_CPU, SECONDS), (resource.RLIMIT_AS, MEMORY)):
            with contextlib.suppress(ValueError, OSError):
                resource.setrlimit(kind, (limit, limit))


def _environment() -> Any:
    """What templates may use: the names that `transformers` gives them."""
    # An optional dependency that a type checker may not find.
    from jinja2 import ext, nodes  # pyright: ignore[reportMissingImports]
    from jinja2.exceptions import TemplateError  # pyright: ignore[reportMissingImports]
    from jinja2.sandbox import (  # pyright: ignore[reportMissingImports]
        ImmutableSandboxedEnvironment,
    )

    class Generation(ext.Extension):
        """Marks what an assistant has written, for trainings; the text stays as it is."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.Scope(body, lineno=line)

    def refuse(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, ext.loopcontrols]
    )
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
    environment.filters["tojson"] = _to_json
    return environment


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The filter of templates; that of jinja2 writes escapes of HTML."""
    options = {"ensure_ascii": ensure_ascii, "indent": indent, "sort_keys": sort_keys}
    return json.dumps(value, separators=separators, **options)


if __name__ == "__main__":
    main()
