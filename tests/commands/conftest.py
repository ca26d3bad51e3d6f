import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from command_line import IMPORTS
from PIL import Image
from small import make_experiment
from unchecked import unchecked
from untrained import EXPERIMENTS, write_workdir

from flax_transformer.cli import main

# Files that a user may name by mistake.
MISTAKEN = {
    "none.py": "number = 3\n",
    "syntax.py": "number = 3\nnumber = = 3\n",
    "failing.py": "number = 3\n\nnumber / 0\n",
    "field.py": f"{IMPORTS}\nEncoderDecoderConfig(num_head=3)\n",
    "sizes.py": f"{IMPORTS}\nexperiment = Experiment(model=EncoderDecoderConfig(num_heads=3))\n",
    "three.txt": "a\nb\nc\n",
    "empty.txt": "",
    "latin.txt": "a\nb\n\udcff\n",
}


@pytest.fixture(autouse=True)
def mistakes_unchecked(unchecked_types):
    """A user's mistakes must be found without the tests' type checker."""


@pytest.fixture(scope="module", autouse=True)
def commands_quickly_compiled(quickly_compiled):
    """What a command says does not depend on how fast it is."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with an experiment, its data, and files that are not what they should be."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "small.py").write_text(f"{IMPORTS}\nexperiment = {make_experiment(folder)!r}\n")
    for name, text in MISTAKEN.items():
        (folder / name).write_bytes(text.encode(errors="surrogateescape"))
    (folder / "nothing").mkdir()
    return folder


@pytest.fixture(scope="session")
def trained(folder):
    """What the command printed that trained the workdir "run"."""
    output = io.StringIO()
    with unchecked(), pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "stdout", output)
        main(["train", "small.py", "--workdir", "run"])
    return output.getvalue()


@pytest.fixture(scope="session")
def untrained(folder):
    """In the folder, a workdir of each other kind of model, and a file for those of pictures."""
    with unchecked():
        for name, experiment in EXPERIMENTS.items():
            write_workdir(folder / name, experiment)
    frames = np.random.default_rng(0).integers(0, 256, (6, 4, 6), np.uint8)
    images = [Image.fromarray(frame) for frame in frames]
    images[0].save(folder / "frames.png", save_all=True, append_images=images[1:])


@pytest.fixture
def run(folder, monkeypatch, capsys):
    """Runs a command line in the folder; gives its exit code, output and errors.

    Standard input is closed if it is None.
    """
    monkeypatch.chdir(folder)

    def run(*words, stdin=b""):
        # All that is read of standard input is its buffer.
        stream = None if stdin is None else SimpleNamespace(buffer=io.BytesIO(stdin))
        monkeypatch.setattr(sys, "stdin", stream)
        code = 0
        try:
            main(list(words))
        except SystemExit as stop:
            code = stop.code or 0
        return SimpleNamespace(code=code, **capsys.readouterr()._asdict())

    return run
