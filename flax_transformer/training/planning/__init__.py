"""Plans a training for devices that this machine does not have: memory, operations, messages."""
