"""One run: its start, the loop over stops, the traced threads, the recorded events, and the outputs."""
