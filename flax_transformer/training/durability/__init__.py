"""What keeps a training from being lost: interruption, NaNs, memory, the proof of resuming."""
