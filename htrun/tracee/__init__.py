"""ptrace: seizing and waiting, stops, stopped threads, memory, injected calls, seccomp filters. These modules do not
know about channels."""
