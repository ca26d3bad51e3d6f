"""Scripts with which a shell completes the commands, options and values of the command line.

A script holds everything in tables, so that a completion starts no Python.
"""

import ast
import dataclasses
import importlib.metadata
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from flax_transformer.commands import COMMANDS, find_command
from flax_transformer.conventions import CONVENTIONS
from flax_transformer.data.datasets.datasets import DATASETS
from flax_transformer.decoding.length_penalty import LENGTH_PENALTIES
from flax_transformer.errors import unknown
from flax_transformer.functional.feed_forward import ACTIVATIONS
from flax_transformer.functional.schemes import SCHEMES
from flax_transformer.interchange.families import FAMILIES
from flax_transformer.models.zoo import ZOO
from flax_transformer.modules.feed_forward_network import FEED_FORWARDS
from flax_transformer.modules.norms import NORMS
from flax_transformer.tasks.tasks import TASKS
from flax_transformer.training.optimizer.update_rules import OPTIMIZERS

PROGRAM = "flax-transformer"
WITHOUT_COMMAND = ("--help", "--version", "--completion")
# Options whose values are names of a registry, which users may extend.
REGISTRIES: dict[str, Mapping[str, Any]] = {
    "--convention": CONVENTIONS,
    "--data.dataset": DATASETS,
    "--decoding.length-penalty": LENGTH_PENALTIES,
    "--family": FAMILIES,
    "--model.activation": ACTIVATIONS,
    "--model.feed-forward": FEED_FORWARDS,
    "--model.norm": NORMS,
    "--model.positions": SCHEMES,
    "--optimizer.name": OPTIMIZERS,
    "--preset": ZOO,
}
# The values of each option; none if it takes a file, a number or any text.
Options = dict[str, tuple[str, ...]]


def command_options(name: str, script_of: Callable[[type], str]) -> Options:
    """Returns the options of a command, with the values of those that have few.

    A command that reads an experiment has the options of all tasks, data and models.

    Args:
        name: of the command.
        script_of: returns tyro's own completion script of a dataclass.
    """
    command = find_command(name)
    kinds: list[tuple[type, str]] = [(command, "")]
    if any(field.name == "experiment" for field in dataclasses.fields(command)):
        for task in TASKS.values():
            kinds += [*((data, "data.") for data in task.reads), (task.config, "task.")]
        kinds += [(type(published.config), "model.") for published in ZOO.values()]
    found: dict[str, dict[str, None]] = {"--parts": {}}
    for kind, prefix in dict.fromkeys(kinds):
        for word, values in _options_of(script_of(kind), prefix):
            found.setdefault(word, {}).update(dict.fromkeys(values))
    return {word: tuple(REGISTRIES.get(word, found[word])) for word in sorted(found)}


def _options_of(script: str, prefix: str) -> Iterator[tuple[str, Iterable[str]]]:
    """Yields the options in tyro's script, each with its values if they are few."""
    # tyro's script starts Python for every completion, but has a table of the options in one line.
    (table,) = re.findall(r"^COMPLETION_SPEC = (.*)$", script, re.MULTILINE)
    for option in ast.literal_eval(table)["options"]:
        for word in option["flags"]:
            if word.startswith("--no-"):
                yield f"--{prefix}no-{word.removeprefix('--no-')}", ()
            elif word.startswith("--"):
                yield f"--{prefix}{word.removeprefix('--')}", option.get("choices", ())


def completion_script(shell: str, script_of: Callable[[type], str]) -> str:
    """Returns the script for a shell.

    Args:
        shell: bash, zsh or fish.
        script_of: see `command_options`.

    Raises:
        UserError: if there is none for it.
    """
    if shell not in _SHELLS:
        raise unknown("--completion", shell, _SHELLS)
    version = importlib.metadata.version("flax_transformer")
    head = f"# Completion of {PROGRAM} {version}, for {shell}."
    return _SHELLS[shell](head, {name: command_options(name, script_of) for name in COMMANDS})


def _bash(head: str, commands: Mapping[str, Options]) -> str:
    return f"""{head}
_flax_transformer() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} words=
    # Bash makes three words of --option=value.
    if [[ $word == "=" ]]; then
        word=
    elif [[ $before == "=" ]]; then
        before=${{COMP_WORDS[COMP_CWORD-2]}}
    fi
    if (( COMP_CWORD == 1 )); then
        words="{" ".join([*commands, *WITHOUT_COMMAND])}"
    else
        case "${{COMP_WORDS[1]}} $before" in
            "--completion --completion") words="{" ".join(_SHELLS)}" ;;
{_cases(commands, lambda pattern, words: f'            "{pattern}") words="{words}" ;;')}
        esac
    fi
    if [[ -z $words && $word == -* ]]; then
        case ${{COMP_WORDS[1]}} in
{_names(commands, lambda name, words: f'            {name}) words="{words}" ;;')}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$word"))
}}
# Anything else is a file.
complete -o bashdefault -o default -F _flax_transformer {PROGRAM}
"""


def _zsh(head: str, commands: Mapping[str, Options]) -> str:
    return f"""#compdef {PROGRAM}
{head}
_flax_transformer() {{
    if (( CURRENT == 2 )); then
        compadd -- {" ".join([*commands, *WITHOUT_COMMAND])}
        return
    fi
    case "$words[2] $words[CURRENT-1]" in
        "--completion --completion") compadd -- {" ".join(_SHELLS)}; return ;;
{_cases(commands, lambda pattern, words: f'        "{pattern}") compadd -- {words}; return ;;')}
    esac
    if [[ $words[CURRENT] == -* ]]; then
        case $words[2] in
{_names(commands, lambda name, words: f"            {name}) compadd -- {words} ;;")}
        esac
    else
        _files
    fi
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _flax_transformer "$@"
else
    compdef _flax_transformer {PROGRAM}
fi
"""


def _fish(head: str, commands: Mapping[str, Options]) -> str:
    line = f"complete -c {PROGRAM}"
    lines = [head, f'{line} -n __fish_use_subcommand -f -a "{" ".join(commands)}"']
    lines += [f"{line} -n __fish_use_subcommand -l {word[2:]}" for word in WITHOUT_COMMAND[:-1]]
    shells = f'-x -l completion -a "{" ".join(_SHELLS)}"'
    lines.append(f"{line} -n __fish_use_subcommand {shells}")
    for name, options in commands.items():
        here = f'{line} -n "__fish_seen_subcommand_from {name}"'
        for option, values in options.items():
            given = f' -x -a "{" ".join(values)}"' if values else ""
            lines.append(f"{here} -l {option[2:]}{given}")
    return "\n".join([*lines, ""])


_SHELLS: dict[str, Callable[[str, Mapping[str, Options]], str]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}


def _cases(commands: Mapping[str, Options], line: Callable[[str, str], str]) -> str:
    """The lines of a `case` over a command and an option with few values."""
    return "\n".join(
        line(f"{name} {option}", " ".join(values))
        for name, options in commands.items()
        for option, values in options.items()
        if values
    )


def _names(commands: Mapping[str, Options], line: Callable[[str, str], str]) -> str:
    """The lines of a `case` over the commands."""
    return "\n".join(line(name, " ".join(options)) for name, options in commands.items())
