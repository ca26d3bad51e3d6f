"""Masked language modeling: predicting the tokens in the gaps of a text."""
