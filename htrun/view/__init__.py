"""Draws a trace: as one HTML page, which needs no network and can be opened as a file, and live in a terminal."""
