"""What the machine code of `call_wait` reads of a call's arguments: a plan of `PLAN_SIZE` bytes for each call.

Byte 0 is `LEFT_TO_CALLER` where the machine code reads nothing and returns. Bytes `FIRST` to `LAST` name arguments to
read before the call; a byte of 0 ends them. Byte `AFTER` names the one to read after it, or is 0. A byte that names an
argument has `PRESENT` set, the argument's index in bits 0 to 2, and in bits 3 to 5 the index of the argument that holds
the size, or `STRING` for a null-terminated string.
"""

from __future__ import annotations

PLAN_SIZE = 8
MOST_NUMBERS = 512
"""Calls of one interface that have plans: all there are."""
LEFT_TO_CALLER = 1
FIRST, LAST, AFTER = 1, 3, 4
INDEX_MASK, SIZE_SHIFT, STRING, PRESENT = 7, 3, 7, 0x80
MOST_BYTES, MOST_STRING = 32, 4096
"""Limits in bytes: of data that is written or read, as much as strace shows; of a string, PATH_MAX
(<linux/limits.h>)."""
MOST_TEXT_RECORDS = 256
"""At least as many records as the texts of one stop take."""
