"""Constants of the files of a native trace, shared by its writer and its reader."""

from __future__ import annotations

MAGIC = 0xC1FC1FC1
"""The magic number at the start of a packet: CTF 1.8, section 5.1."""
COMM_SIZE = 16
"""The size in bytes of a thread's name with its terminating zero."""
BITS = 8
"""Packets give their sizes in bits."""
