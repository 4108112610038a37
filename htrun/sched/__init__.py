"""Records what the kernel does with threads: context switches, migrations and page faults (perf_event_open(2))."""
