"""A tracee's memory, through /proc/PID/mem: one system call for any length, and writes to read-only code succeed."""

from __future__ import annotations

import os


class Memory:
    """The memory of one address space. Close it when the address space ends.

    It is opened when it is first used, since a process that maps no channel and execs none but native programs, as most
    of a shell script's do, is never looked into. Until then `reach_through` says by which of its threads.
    """

    def __init__(self, tid: int) -> None:
        self._tid = tid
        self._file = -1

    def reach_through(self, tid: int) -> None:
        """Open the memory by way of ``tid``, a stopped thread, if it has still to be opened."""
        self._tid = tid

    def open(self) -> None:
        """Open the memory now, because later the thread may be gone. Raises OSError if it is already."""
        if self._file < 0:
            self._file = os.open(f"/proc/{self._tid}/mem", os.O_RDWR | os.O_CLOEXEC)

    def read(self, address: int, length: int) -> bytes:
        """Up to ``length`` bytes: fewer where the mapping ends. Raises OSError (EIO) where nothing is mapped."""
        self.open()
        return os.pread(self._file, length, address)

    def write(self, address: int, data: bytes) -> None:
        """Write all of ``data``, even to pages the tracee itself may not write (a private copy is made)."""
        self.open()
        if os.pwrite(self._file, data, address) != len(data):
            raise OSError(5, f"short write of {len(data)} bytes at {address:#x}")

    def read_string(self, address: int, limit: int = 1 << 17) -> bytes:
        """The NUL-terminated string at ``address``, without its NUL; at most ``limit`` bytes."""
        found = bytearray()
        while len(found) < limit:
            here = address + len(found)
            piece = self.read(here, 4096 - here % 4096)
            end = piece.find(b"\0")
            if end >= 0:
                return bytes(found + piece[:end])
            if not piece:
                break
            found += piece
        return bytes(found)

    def read_words(self, address: int, size: int, limit: int = 1 << 17) -> list[int]:
        """The words of ``size`` bytes (4 or 8) at ``address`` up to a zero word, as an argv array has it."""
        words: list[int] = []
        while len(words) < limit:
            word = int.from_bytes(self.read(address + size * len(words), size), "little")
            if word == 0:
                break
            words.append(word)
        return words

    def close(self) -> None:
        """Close the file for good."""
        # There is no process 0, so a later use is an error and never another program's memory.
        self._tid = 0
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
