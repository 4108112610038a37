"""Plans for `call_wait`, `PLAN_SIZE` bytes for each call: which texts the machine code reads from a call's arguments.

Byte 0 is `LEFT_TO_CALLER` if the machine code must return to Python at this call. Bytes `FIRST` to `LAST` stand for
arguments to read before the call; a byte of 0 ends them. Byte `AFTER` stands for the argument to read after the call,
or is 0. A byte that stands for an argument has `PRESENT` set, and the argument's index in bits 0 to 2. Bits 3 to 5 have
the index of the argument that contains the size, or `STRING` for a null-terminated string.
"""

from __future__ import annotations

PLAN_SIZE = 8
MOST_NUMBERS = 512
"""The number of calls of one interface that can have plans. No interface has this many calls."""
LEFT_TO_CALLER = 1
FIRST, LAST, AFTER = 1, 3, 4
INDEX_MASK, SIZE_SHIFT, STRING, PRESENT = 7, 3, 7, 0x80
MOST_BYTES, MOST_STRING = 32, 4096
"""The maximum numbers of bytes that are read from a buffer (as many as strace shows) and from a string (PATH_MAX,
<linux/limits.h>)."""
MOST_TEXT_RECORDS = 256
"""The maximum number of records for the texts of one stop."""
