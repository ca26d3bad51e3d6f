"""Data sets of text, images and videos, the tokenizer, and batches, which Grain builds ahead.

This package does not import Flax or a model, and importing it loads no heavy library.
"""

import importlib.metadata
import os

# Google Colab has tensorflow-metadata 1.21. Protobuf 5 rejects its messages only because of their
# version number, so TFDS cannot be imported there without this setting. TFDS then works normally.
if int(importlib.metadata.version("protobuf").partition(".")[0]) < 6:
    os.environ.setdefault("TEMPORARILY_DISABLE_PROTOBUF_VERSION_CHECK", "true")
