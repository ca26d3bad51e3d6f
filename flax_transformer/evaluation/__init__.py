"""Scores with their signatures (`scores`), and the record that is kept of them (`report`)."""
