"""Beam search by Hugging Face's Marian, and by CTranslate2 with that model's weights."""

import importlib
import os
import tempfile
from types import SimpleNamespace
from typing import Any

from peers.decode_work import DecodeWork, Search

from flax_transformer.data.tokenizer import EOS, PAD
from flax_transformer.errors import UserError

PACKAGES = ("torch", "transformers", "ctranslate2")


def marian_model(work: DecodeWork) -> Any:
    """Makes a post-norm model with random weights; its padding is the last id, as in Marian."""
    torch, transformers, _ = packages()
    torch.set_num_threads(num_threads())
    sizes = {
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
        eos_token_id=EOS,
        pad_token_id=last,
        decoder_start_token_id=last,
        forced_eos_token_id=None,
    )
    torch.manual_seed(0)
    return transformers.MarianMTModel(config).eval()


def marian_search(work: DecodeWork, model: Any) -> Search:
    """Makes the search of `generate`, whose model may be of another type from now on."""
    torch, *_ = packages()
    model = model.to(getattr(torch, work.dtype))

    def search():
        found = []
        for source in work.batches():
            # Without the columns of padding that only JAX asks for.
            rows = torch.tensor(source[:, (source != PAD).any(axis=0)], dtype=torch.long)
            is_token = rows != PAD
            with torch.inference_mode():
                outputs = model.generate(
                    rows.masked_fill(~is_token, model.config.pad_token_id),
                    attention_mask=is_token.long(),
                    num_beams=work.beam_size,
                    do_sample=False,
                    min_new_tokens=work.output_length,
                    max_new_tokens=work.output_length,
                )
            found.append(outputs[:, 1:].numpy())
        return found

    return search


def ctranslate2_search(work: DecodeWork, model: Any) -> Search:
    """Converts the model and makes the search of `translate_batch`.

    On a CPU its only type below float32 is of 8 bits, which it gets in place of bfloat16.
    """
    torch, _, ctranslate2 = packages()
    loaders = importlib.import_module("ctranslate2.converters.transformers")
    words = [f"token{number}" for number in range(work.vocab_size - 1)]
    vocabulary = {word: number for number, word in enumerate([*words, "<pad>"])}
    # All that the converter asks of a tokenizer.
    tokenizer = SimpleNamespace(
        get_vocab=lambda: vocabulary, eos_token=words[EOS], unk_token=words[PAD]
    )
    with tempfile.TemporaryDirectory() as folder:
        with torch.no_grad():
            converted = loaders.MarianMTLoader()(model, tokenizer)
        converted.validate()
        converted.optimize()
        converted.save(folder)
        translator = ctranslate2.Translator(
            folder,
            compute_type="float32" if work.dtype == "float32" else "int8",
            inter_threads=1,
            intra_threads=num_threads(),
        )
    sentences = [
        [words[token] for token in row if token != PAD]
        for source in work.batches()
        for row in source.tolist()
    ]

    def search():
        found = translator.translate_batch(
            sentences,
            max_batch_size=work.batch,
            beam_size=work.beam_size,
            min_decoding_length=work.output_length,
            max_decoding_length=work.output_length,
        )
        return [[[vocabulary[word] for word in result.hypotheses[0]] for result in found]]

    return search


def packages() -> list[Any]:
    """Imports PyTorch, transformers and CTranslate2."""
    try:
        return [importlib.import_module(name) for name in PACKAGES]
    except ModuleNotFoundError as error:
        raise UserError(f"no {error.name}: pip install {' '.join(PACKAGES)}") from None


def num_threads() -> int:
    """As many as JAX uses: one a core."""
    return os.cpu_count() or 1
