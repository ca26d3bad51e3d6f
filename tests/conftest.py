import os

# Before JAX starts: data parallelism is tested on simulated devices. Of two equal flags the later
# one counts, so the environment may still ask for another number.
os.environ["XLA_FLAGS"] = (
    f"--xla_force_host_platform_device_count=8 {os.environ.get('XLA_FLAGS', '')}"
)

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from double_precision import enable_x64
from jaxtyping import Array
from unchecked import unchecked

from flax_transformer.runtime.process import spare_threads

spare_threads()
MANY_MAPS = 25_000


def pytest_configure(config: pytest.Config) -> None:
    """Lets all processes of a test run share what they compile: a third of their time."""
    if not hasattr(config, "workerinput"):
        folder = tempfile.TemporaryDirectory()
        config.add_cleanup(folder.cleanup)
        # Processes that tests start read it too: no command of theirs writes into the user's cache.
        os.environ["JAX_COMPILATION_CACHE_DIR"] = folder.name
    jax.config.update("jax_compilation_cache_dir", os.environ["JAX_COMPILATION_CACHE_DIR"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)


@pytest.fixture(scope="module", autouse=True)
def few_programs() -> Iterator[None]:
    """Lets compiled programs go before they take all the memory maps that a process may have.

    Each takes some of the 65,530 that Linux allows by default; without one more, XLA crashes.
    """
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MANY_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="module")
def quickly_compiled() -> Iterator[None]:
    """Compiles without most of XLA's optimizations, for tests of what is said and written."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Starts a real browser, or skips the tests that need one."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the extra browser")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs the program chromium")
    with playwright.sync_playwright() as running:
        # Containers run tests as root, for whom Chromium starts without its sandbox only.
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def normal() -> Callable[..., Array]:
    """Draws arrays of standard normal numbers, each call another, in the default precision."""
    rng = np.random.default_rng(0)
    return lambda *shape: jnp.asarray(rng.normal(size=shape))


@pytest.fixture(params=[(False, 1e-5), (True, 1e-12)], ids=["float32", "float64"])
def tolerance(request: pytest.FixtureRequest) -> Iterator[float]:
    """Runs a test in both precisions and gives the relative error that each allows."""
    is_double, relative_error = request.param
    with enable_x64(is_double):
        yield relative_error


@pytest.fixture
def double() -> Iterator[None]:
    """Runs a test in double precision."""
    with enable_x64(True):
        yield


@pytest.fixture
def unchecked_types() -> Iterator[None]:
    """Runs a test as a user's program runs, without the tests' type checker."""
    with unchecked():
        yield
