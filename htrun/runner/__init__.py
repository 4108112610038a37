"""One run: its start, the loop over stops, the threads that are traced, the events that are recorded, the outputs."""
