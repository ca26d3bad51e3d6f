"""Masked language modelling: texts with gaps to the tokens that fill them."""
