"""Masked language modeling: texts with gaps to the tokens that fill them."""
