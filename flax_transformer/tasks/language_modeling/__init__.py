"""Language modeling: the beginning of a text to its continuation."""
