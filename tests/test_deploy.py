"""The files of docs/deploy agree with the package."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tyro
import yaml

from flax_transformer.commands.serve_command import Serve

REPOSITORY = Path(__file__).parents[1]
FOLDER = REPOSITORY / "docs" / "deploy"


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, in order."""
    text = (FOLDER / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in lines)]


def arguments(name: str) -> list[str]:
    """What follows every instruction of this name."""
    return [rest for given, rest in instructions() if given == name]


def service() -> dict[str, Any]:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["services"]["serve"]


def serve(words: list[str]) -> Serve:
    """The command that a container runs with these words after its entry point."""
    program, command, *given = [*json.loads(arguments("ENTRYPOINT")[0]), *words]
    assert (program, command) == ("flax-transformer", "serve")
    return tyro.cli(Serve, args=given)


def installs() -> list[str]:
    return [line for line in arguments("RUN") if line.startswith("pip install")]


def copied() -> list[str]:
    return [name for line in arguments("COPY") for name in line.split()[:-1]]


def test_what_is_installed_and_copied_exists():
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    extras = re.findall(r"\[([^]]+)\]", " ".join(installs()))
    assert [name for some in extras for name in some.split(",")] == ["serve"]
    assert "serve" in setup["options.extras_require"]
    assert all((REPOSITORY / name).exists() for name in copied())
    assert setup["metadata"]["license_files"] in copied()


def test_nothing_runs_as_root_or_writes_elsewhere():
    names = [name for name, _ in instructions()]
    (user,) = arguments("USER")
    assert user not in ("root", "0")
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "RUN" not in names[names.index("USER") :]
    (number,) = re.findall(rf"useradd --uid (\d+) .*\b{user}\b", " ".join(arguments("RUN")))
    readme = (FOLDER / "README.md").read_text("utf-8")
    assert f"install -o {number} -m 400" in readme
    settings = service()
    assert settings["read_only"] is True
    assert settings["cap_drop"] == ["ALL"]
    cache = dict(word.split("=") for word in shlex.split(arguments("ENV")[0]))["XDG_CACHE_HOME"]
    assert arguments("VOLUME") == [cache]
    assert settings["volumes"] == ["../../runs:/models:ro", f"cache:{cache}"]


def test_the_command_is_understood():
    settings = service()
    of_image, of_compose = serve(json.loads(arguments("CMD")[0])), serve(settings["command"])
    for command in (of_image, of_compose):
        assert all(str(folder).startswith("/models/") for folder in command.workdir)
        assert str(command.port) == arguments("EXPOSE")[0]
        assert command.host == "0.0.0.0"
    (secret,) = settings["secrets"]
    assert of_compose.api_key_file == Path("/run/secrets", secret)
    port = of_compose.port
    assert settings["ports"] == [f"127.0.0.1:{port}:{port}"]
    (health,) = arguments("HEALTHCHECK")
    assert f"http://127.0.0.1:{port}/health" in health
    routes = REPOSITORY / "flax_transformer" / "serving" / "status_routes.py"
    assert '"/health"' in routes.read_text("utf-8")


def test_the_key_is_never_committed():
    file = yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))["secrets"]["api_key"][
        "file"
    ]
    path = (FOLDER / file).relative_to(REPOSITORY)
    assert str(path) in (REPOSITORY / ".gitignore").read_text("utf-8").splitlines()


@pytest.mark.slow
def test_the_package_is_installed_as_the_image_installs_it(tmp_path):
    source, environment = tmp_path / "source", tmp_path / "environment"
    source.mkdir()
    for name in copied():
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, source / name)
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    assert installs()
    for line in installs():
        words = shlex.split(line)
        program = environment / "bin" / words[0]
        subprocess.run([program, *words[1:], "--quiet"], cwd=source, check=True)
    program = environment / "bin" / "flax-transformer"

    def said(*words: str) -> str:
        # Without the path on which a development may find its own files.
        bare = ["env", "-u", "PYTHONPATH", program, *words]
        done = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg")
    assert said("--version").strip() == setup["metadata"]["version"]
    assert "--api-key-file" in said("serve", "--help")
    python = environment / "bin" / "python"
    code = "import flax_transformer.serving.service"
    subprocess.run(["env", "-u", "PYTHONPATH", python, "-c", code], cwd=tmp_path, check=True)
