"""Language modeling: continuing the beginning of a text."""
