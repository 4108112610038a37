"""Decoding a Linux kernel's own trace: formats of events, and entries in these formats."""
