"""Traces read back: metadata, packets, events in the order of time, and what can be asked of them."""
