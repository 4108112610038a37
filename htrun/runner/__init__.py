"""One run: its start, the loop over stops, the threads that are traced, what is recorded and written."""
