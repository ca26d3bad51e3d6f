"""Training: optimizer, step, loop, checkpoints, devices."""
