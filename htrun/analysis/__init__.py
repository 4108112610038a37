"""Reads traces (metadata, packets, and events in order of time) and analyses them."""
