"""Stops that are handled in machine code. It writes the records of channels and of recorded calls."""
