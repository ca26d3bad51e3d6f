"""Scores with their signatures (`scores`) and their saved record (`report`)."""
