"""Events: the names of events, the memory layout of batches of events, the interface of sinks, and time."""
