"""ptrace: seize, wait, stops, stopped threads, memory, injected calls, seccomp filters. Knows no channel."""
