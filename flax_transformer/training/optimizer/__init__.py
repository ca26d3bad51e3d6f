"""Optimizers, learning rate schedules, and rules by the paths of parameters."""
