"""Shows a trace: as a single HTML page, which can be opened as a file without a network, or live in a terminal."""
