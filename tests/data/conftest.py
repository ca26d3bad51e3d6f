import pathlib
from collections.abc import Callable

import pytest

from flax_transformer.data.datasets.datasets import open_split
from flax_transformer.data.parallel_text_config import ParallelTextConfig

SHARED = pathlib.Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def number_words(tmp_path_factory) -> ParallelTextConfig:
    """A configuration of number_words, prepared once for all tests."""
    config = ParallelTextConfig(
        vocab_size=307, data_dir=str(tmp_path_factory.mktemp("number_words"))
    )
    open_split(config, "test")
    return config


@pytest.fixture(scope="session")
def shared_dir() -> Callable[[str], pathlib.Path]:
    """Gives the folder with the files of a data set, where they are, and else skips the test."""

    def find(name: str) -> pathlib.Path:
        if not (SHARED / name).is_dir():
            pytest.skip(f"the files of {name} are not in {SHARED / name}")
        return SHARED / name

    return find


@pytest.fixture(scope="session")
def multi30k_dir(shared_dir) -> str:
    return str(shared_dir("multi30k"))
