"""The process of JAX: allocator, compilation cache, simulated devices, determinism."""
