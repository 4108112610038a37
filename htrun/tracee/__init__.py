"""Being a tracer: spawn, wait, stops, registers, memory, injected calls, the seccomp filter. Knows no channel."""
