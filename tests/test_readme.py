import re
from pathlib import Path

import jax.numpy as jnp

README = (Path(__file__).parent.parent / "README.md").read_text()


def test_the_library_example_runs():
    example = next(
        block for block in re.findall(r"```python\n(.*?)```", README, re.S) if "attend(" in block
    )
    names = {}
    exec(example, names)
    assert names["weights"].shape == (7, 7)
    assert names["logits"].shape == (1, 1, 8000)
    full = names["model"].apply(names["variables"], names["source"], names["target"])
    assert jnp.allclose(names["logits"][:, 0], full[:, -1], rtol=1e-5, atol=1e-5)
