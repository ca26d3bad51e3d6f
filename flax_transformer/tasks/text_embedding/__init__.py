"""Vectors of texts, by a model without a head."""
