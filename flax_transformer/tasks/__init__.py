"""Tasks: from an example to a batch, a loss, a metric and a prediction."""
