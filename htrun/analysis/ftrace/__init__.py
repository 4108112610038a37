"""Decodes a Linux kernel's own trace: the formats of events, and the entries in these formats."""
