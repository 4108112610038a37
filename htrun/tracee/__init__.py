"""ptrace: seizing and waiting, stops, stopped threads, memory, injected calls, seccomp filters. Knows no channel."""
