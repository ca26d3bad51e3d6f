"""Beam search by Hugging Face's Marian."""

from collections.abc import Mapping
from typing import Any

import torch
import transformers

from .decode_work import DecodeWork, Search, as_run
from .turn import Run, take_turn


def make(work: Mapping[str, Any]) -> Run:
    """Makes the search from plain data."""
    decode_work = DecodeWork(**work)
    return as_run(marian_search(decode_work, marian_model(decode_work)))


def marian_model(work: DecodeWork) -> Any:
    """Makes a post-norm model with random weights; its padding is the last id, as in Marian."""
    sizes: dict[str, Any] = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in {
            "layers": work.num_layers,
            "attention_heads": work.num_heads,
            "ffn_dim": work.d_ff,
        }.items()
    }
    last = work.vocab_size - 1
    config = transformers.MarianConfig(
        **sizes,
        vocab_size=work.vocab_size,
        decoder_vocab_size=work.vocab_size,
        d_model=work.d_model,
        activation_function="relu",
        scale_embedding=True,
        max_position_embeddings=256,
        eos_token_id=work.eos,
        pad_token_id=last,
        decoder_start_token_id=last,
        forced_eos_token_id=None,
    )
    torch.manual_seed(0)
    return transformers.MarianMTModel(config).eval()


def marian_search(work: DecodeWork, model: Any) -> Search:
    """Makes the search of `generate`; it may change the type of the model."""
    model = model.to(getattr(torch, work.dtype))
    pad = model.config.pad_token_id

    def search():
        found = []
        for part in work.parts():
            longest = max(map(len, part))
            rows = torch.tensor([row + [pad] * (longest - len(row)) for row in part])
            with torch.inference_mode():
                outputs = model.generate(
                    rows,
                    attention_mask=(rows != pad).long(),
                    num_beams=work.beam_size,
                    do_sample=False,
                    min_new_tokens=work.output_length,
                    max_new_tokens=work.output_length,
                )
            found.append(outputs[:, 1:].numpy())
        return found

    return search


if __name__ == "__main__":
    take_turn(make)
