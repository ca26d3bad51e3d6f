"""A training step of PyTorch's nn.Transformer in eager mode, its most common use."""

import math
import warnings
from collections.abc import Mapping

import torch
from torch import nn

from .size import DROPOUT_RATE, LABEL_SMOOTHING, Size
from .turn import Run, take_turn


class Translator(nn.Module):
    """nn.Transformer with one shared embedding matrix and sinusoidal positions."""

    def __init__(self, size: Size):
        super().__init__()
        self.embedding = nn.Embedding(size.vocab_size, size.d_model)
        nn.init.normal_(self.embedding.weight, std=size.d_model**-0.5)
        self.transformer = nn.Transformer(
            size.d_model,
            size.num_heads,
            size.num_layers,
            size.num_layers,
            size.d_ff,
            DROPOUT_RATE,
            batch_first=True,
            norm_first=True,
        )
        frequencies = torch.exp(torch.arange(0, size.d_model, 2) * (-math.log(1e4) / size.d_model))
        angles = torch.arange(size.length)[:, None] * frequencies
        positions = torch.stack([angles.sin(), angles.cos()], dim=-1)
        self.register_buffer("positions", positions.flatten(1))
        causal = nn.Transformer.generate_square_subsequent_mask(size.length)
        self.register_buffer("causal", causal)

    def embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embeds tokens and adds their positions."""
        return self.embedding(tokens) * self.embedding.embedding_dim**0.5 + self.positions

    def forward(self, source: torch.Tensor, decoder_input: torch.Tensor) -> torch.Tensor:
        """Computes the logits of the token after each one that the decoder reads."""
        hidden = self.transformer(
            self.embed(source),
            self.embed(decoder_input),
            tgt_mask=self.causal,
            tgt_is_causal=True,
        )
        return hidden @ self.embedding.weight.T


def make(size: Mapping[str, int], dtype: str) -> Run:
    """Makes a function that trains a model on one batch of random tokens.

    It runs on a GPU if PyTorch has one, and uses autocast for types other than float32.

    Args:
        size: the fields of `Size`.
        dtype: type of the computation, by PyTorch's name.

    Returns:
        The step, which returns its loss.
    """
    # For pre-norm layers it warns that a shortcut for inference without padding is disabled.
    warnings.filterwarnings("ignore", message="enable_nested_tensor")
    torch.manual_seed(0)
    sizes = Size(**size)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = Translator(sizes).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, betas=(0.9, 0.98), eps=1e-9)
    loss_of = nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING, ignore_index=0)
    shape = (2, sizes.num_pairs, sizes.length)
    source, target = torch.randint(1, sizes.vocab_size, shape, device=device)
    decoder_input = nn.functional.pad(target[:, :-1], (1, 0))
    computation = torch.autocast(device.type, getattr(torch, dtype), enabled=dtype != "float32")

    def step() -> dict[str, float]:
        optimizer.zero_grad(set_to_none=True)
        with computation:
            logits = model(source, decoder_input)
            loss = loss_of(logits.flatten(0, 1), target.flatten())
        loss.backward()
        optimizer.step()
        # A GPU may still be computing the update.
        if device.type == "cuda":
            torch.cuda.synchronize()
        return {"loss": loss.item()}

    return step


if __name__ == "__main__":
    take_turn(make)
