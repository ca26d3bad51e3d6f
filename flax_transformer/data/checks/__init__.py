"""Checks of data before a training: pure functions, and the passes over the data that feed them."""
