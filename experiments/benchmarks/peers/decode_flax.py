"""The beam search of the Flax repository's translation example, run from a checkout of it."""

import dataclasses
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .decode_work import NO_TOKEN, DecodeWork, Search, as_run
from .turn import Run, take_turn


def make(work: Mapping[str, Any], directory: str) -> Run:
    """Makes the search from plain data."""
    return as_run(flax_search(DecodeWork(**work), Path(directory)))


def flax_search(work: DecodeWork, checkout: Path) -> Search:
    """Makes the example's model, pre-norm as in the example and of the given sizes, and its search.

    The cache is made within the compiled search, with the shapes of the example's own
    initialization. The encoded source is repeated for each hypothesis, as in its training script.
    """
    models, decode = (_load(checkout, name) for name in ("models", "decode"))
    config = models.TransformerConfig(
        vocab_size=work.vocab_size,
        output_vocab_size=work.vocab_size,
        share_embeddings=True,
        logits_via_embedding=True,
        emb_dim=work.d_model,
        qkv_dim=work.d_model,
        mlp_dim=work.d_ff,
        num_heads=work.num_heads,
        num_layers=work.num_layers,
        dtype=work.dtype,
        deterministic=True,
        decode=True,
    )
    model = models.Transformer(config)
    reader = models.Transformer(dataclasses.replace(config, decode=False))
    tokens = jnp.ones((1, 1), jnp.int32)
    params = jax.jit(reader.init)(jax.random.key(0), tokens, tokens)["params"]
    # Its outputs begin with the begin mark, which is dropped.
    length = work.output_length + 1

    @jax.jit
    def search(params, source):
        targets = jnp.ones((source.shape[0], length))
        shapes = jax.eval_shape(model.init, jax.random.key(0), source, targets)["cache"]
        cache = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        memory: Any = model.apply({"params": params}, source, method=model.encode)
        memory, sources = (
            decode.flat_batch_beam_expand(x, work.beam_size) for x in (memory, source)
        )

        def step(ids, cache):
            logits, variables = model.apply(
                {"params": params, "cache": cache},
                *(memory, sources, ids),
                mutable=["cache"],
                method=model.decode,
            )
            return logits[:, 0], variables["cache"]

        found, _ = decode.beam_search(
            source, cache, step, work.beam_size, eos_id=NO_TOKEN, max_decode_len=length
        )
        return found[:, -1, 1:]

    return lambda: [np.asarray(search(params, source)) for source in work.batches()]


def _load(checkout: Path, name: str) -> Any:
    """Imports a file of the example under a unique name."""
    path = checkout / "examples" / "wmt" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"flax_examples_wmt_{name}", path)
    assert spec is not None  # it is a Python file
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    take_turn(make)
