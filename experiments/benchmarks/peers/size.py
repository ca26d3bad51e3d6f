"""The sizes of the model and of the batch, the same for all contenders."""

from typing import NamedTuple

# Rate of dropout, in every place where the contenders have it, and of label smoothing.
DROPOUT_RATE = LABEL_SMOOTHING = 0.1


class Size(NamedTuple):
    """A pre-norm encoder-decoder with one shared embedding matrix, and a batch without padding.

    Attributes:
        num_layers: layers of the encoder, and of the decoder.
        d_model: width of the embeddings and of the layers' outputs.
        d_ff: width of the feed-forward networks' hidden layers.
        num_heads: attention heads in each layer.
        vocab_size: tokens of the joint vocabulary.
        num_pairs: sentence pairs of a step.
        length: tokens of each sentence.
    """

    num_layers: int
    d_model: int
    d_ff: int
    num_heads: int
    vocab_size: int
    num_pairs: int
    length: int


SIZES = {
    "W1": Size(4, 128, 256, 4, 10_000, 128, 32),
    "W2": Size(3, 256, 1024, 8, 8_000, 64, 32),
    # The paper's big model and its batches of 25,000 tokens, for accelerators.
    "big": Size(6, 1024, 4096, 16, 37_000, 392, 64),
    # To try the scripts.
    "toy": Size(1, 16, 32, 2, 64, 4, 8),
}
