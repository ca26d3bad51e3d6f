"""Data sets of texts, images and videos, the tokenizer, and batches, which Grain builds ahead.

Nothing here knows Flax or a model, and importing this package loads none of the heavy libraries.
"""

import importlib.metadata
import os

# Google Colab has tensorflow-metadata 1.21, whose messages protobuf 5 refuses only by their version
# number: without this, TFDS cannot be imported there. It reads and writes them without a fault.
if int(importlib.metadata.version("protobuf").partition(".")[0]) < 6:
    os.environ.setdefault("TEMPORARILY_DISABLE_PROTOBUF_VERSION_CHECK", "true")
