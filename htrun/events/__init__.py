"""Events: their names, the memory layout of batches of them, the interface of sinks, and time."""
