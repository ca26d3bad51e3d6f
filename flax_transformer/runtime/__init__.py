"""The process that JAX runs in: allocator, compiled programs, simulated devices, determinism."""
