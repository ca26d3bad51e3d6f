"""Parallel sentences: one TFDS builder per data set, the tokenizer, batches by length, Grain.

Nothing here knows Flax or a model, and importing this package loads none of the heavy libraries.
"""
