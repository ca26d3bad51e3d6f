import re
from pathlib import Path

import jax.numpy as jnp

README = (Path(__file__).parent.parent / "README.md").read_text()


BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_the_examples_of_the_library_run_one_after_the_other():
    (first,) = (block for block in BLOCKS if "attend(" in block)
    (second,) = (block for block in BLOCKS if "VisionTransformer(" in block)
    names = {}
    exec(first, names)
    assert names["weights"].shape == (7, 7)
    assert names["logits"].shape == (1, 1, 8000)
    full = names["model"].apply(names["variables"], names["source"], names["target"])
    assert jnp.allclose(names["logits"][:, 0], full[:, -1], rtol=1e-5, atol=1e-5)
    exec(second, names)
    assert names["logits"].shape == (1, 3, 8000)
    assert names["scores"].shape == (1, 10)
    logits, _ = names["gpt2"].apply(
        names["variables"], names["target"], names["cache"], method="decode"
    )
    assert jnp.allclose(logits, names["logits"], rtol=1e-5, atol=1e-5)
