"""The engine of the page of a model, outside of a browser."""

import base64
import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from flax_transformer.errors import UserError
from flax_transformer.interchange.programs.model_programs import Arrays
from flax_transformer.visualization.page_files import read_files

FOLDER = "flax_transformer.interchange.programs"
# In the order in which they are run; none of them knows the page.
SCRIPTS = (
    "arrays.js",
    "elementwise.js",
    "movement.js",
    "reductions.js",
    "engine.js",
    "subwords.js",
    "answers.js",
)
_CALLS = """
let opened;
const calls = {
  open(page, text) {
    opened = new PageModel(page, bytesOfBase64(text));
    return true;
  },
  run(name, given) {
    const read = ({ dtype, shape, numbers }) => arrayOf(dtype, shape, numbers);
    const outputs = opened.programs[name].run(inTable(given, read));
    return inTable(outputs, ({ dtype, shape, data }) => ({ dtype, shape, numbers: [...data] }));
  },
  encode: (text) => opened.tokenizer.encode(text),
  decode: (ids) => opened.tokenizer.decode(ids),
  name: (id) => opened.tokenizer.name(id),
  answer: (text, length) => opened.answer(text, length),
  classify: (given) => opened.classify(given).probabilities,
};
"""


class PageEngine:
    """The scripts of a page that compute, run by V8, the engine of Chromium.

    Args:
        page: plain data of the page; see `pack_programs`.
        contents: bytes of its arrays.

    Raises:
        UserError: if the package mini-racer is not installed.
    """

    def __init__(self, page: Mapping[str, Any], contents: bytes):
        try:
            # An optional dependency that a type checker may not find.
            racer: Any = importlib.import_module("py_mini_racer")
        except ImportError:
            raise UserError(
                "--format page needs the package mini-racer, which is not installed: run pip "
                "install 'flax_transformer[page]'"
            ) from None
        self._scripts = racer.MiniRacer()
        self._scripts.eval(read_files(*SCRIPTS, package=FOLDER) + _CALLS)
        self._call("open", page, base64.b64encode(contents).decode())

    def run(self, name: str, inputs: Arrays) -> dict[str, np.ndarray]:
        """Runs a program; see `Runner`."""
        given = {}
        for key, value in inputs.items():
            array = np.asarray(value)
            numbers = array.ravel().tolist()
            given[key] = {"dtype": array.dtype.name, "shape": array.shape, "numbers": numbers}
        return {
            # Numbers that are not finite come as None, which is NaN here.
            key: np.array(value["numbers"], value["dtype"]).reshape(value["shape"])
            for key, value in self._call("run", name, given).items()
        }

    def encode(self, text: str) -> list[int]:
        """Returns the ids of a text, without marks."""
        return self._call("encode", text)

    def decode(self, ids: list[int]) -> str:
        """Returns the text of ids."""
        return self._call("decode", ids)

    def name(self, token: int) -> str:
        """Returns the text of a token, for display."""
        return self._call("name", token)

    def answer(self, text: str, length: int) -> str:
        """Translates a text, or continues it by at most `length` tokens, greedily."""
        return self._call("answer", text, length)

    def classify(self, given: str | np.ndarray) -> np.ndarray:
        """Returns the probabilities of the classes for a text or for the pixels of an image."""
        value = given if isinstance(given, str) else np.asarray(given).ravel().tolist()
        return np.array(self._call("classify", value))

    def _call(self, name: str, *arguments: Any) -> Any:
        return self._scripts.call(f"calls.{name}", *arguments)
