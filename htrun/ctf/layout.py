"""Constants of the files of a native trace. The writer and the reader share them."""

from __future__ import annotations

MAGIC = 0xC1FC1FC1
"""The magic number at the start of a packet: CTF 1.8, section 5.1."""
COMM_SIZE = 16
"""The size in bytes of a thread's name, including the terminating zero."""
BITS = 8
"""The number of bits in a byte. The sizes in packets are in bits."""
