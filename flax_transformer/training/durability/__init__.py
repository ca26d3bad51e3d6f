"""Fault tolerance of a training: interruption, NaNs, memory, and the proof of resuming."""
