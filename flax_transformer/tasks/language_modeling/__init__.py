"""Language modelling: the beginning of a text to its continuation."""
