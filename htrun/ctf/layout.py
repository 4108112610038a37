"""What every file of a native trace has, for who writes it and for who reads it."""

from __future__ import annotations

MAGIC = 0xC1FC1FC1
"""What a packet begins with: CTF 1.8, section 5.1."""
COMM_SIZE = 16
"""Bytes of a thread's name, of which the last is zero."""
BITS = 8
"""Packets give their sizes in bits."""
