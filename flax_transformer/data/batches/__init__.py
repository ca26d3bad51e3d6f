"""From examples to the batch of each step."""
