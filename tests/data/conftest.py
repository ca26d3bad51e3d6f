import pathlib

import pytest

from flax_transformer.data.datasets import DataConfig, open_split

MULTI30K = pathlib.Path(__file__).parents[3] / "shared" / "data" / "multi30k"


@pytest.fixture(scope="session")
def number_words(tmp_path_factory) -> DataConfig:
    """A configuration of number_words, prepared once for all tests."""
    config = DataConfig(vocab_size=307, data_dir=str(tmp_path_factory.mktemp("number_words")))
    open_split(config, "test")
    return config


@pytest.fixture(scope="session")
def multi30k_dir() -> str:
    if not MULTI30K.is_dir():
        pytest.skip(f"the Multi30k files are not in {MULTI30K}")
    return str(MULTI30K)
