"""Reading and writing of checkpoints and of a run's folder."""
