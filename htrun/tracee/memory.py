"""A tracee's memory, through /proc/PID/mem: one system call for any length, and writes to read-only code succeed."""

from __future__ import annotations

import errno
import os

_KERNEL_HALF = 1 << 63
"""Addresses from here on are the kernel's, and more than a file offset can be."""


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
        """Up to ``length`` bytes: fewer where the mapping ends. Raises OSError where nothing is mapped."""
        self._reach(address)
        return os.pread(self._file, length, address)

    def read_whole(self, address: int, length: int) -> bytes:
        """All ``length`` bytes. Raises OSError where not all of them are mapped, or the memory is gone."""
        data = self.read(address, length)
        if len(data) != length:
            raise OSError(errno.EFAULT, f"short read of {length} bytes at {address:#x}")
        return data

    def write(self, address: int, data: bytes) -> None:
        """Write all of ``data``, even to pages the tracee itself may not write (a private copy is made). Raises OSError
        where not all of them are mapped."""
        self._reach(address)
        if os.pwrite(self._file, data, address) != len(data):
            raise OSError(errno.EFAULT, f"short write of {len(data)} bytes at {address:#x}")

    def read_string(self, address: int, limit: int = 1 << 17) -> bytes:
        """The NUL-terminated string at ``address``, without its NUL. Raises OSError (E2BIG) where it has ``limit``
        bytes or more, which is more than exec takes (include/uapi/linux/binfmts.h, MAX_ARG_STRLEN)."""
        found = bytearray()
        while len(found) < limit:
            piece = self._to_end_of_page(address + len(found))
            end = piece.find(b"\0")
            if end >= 0:
                return bytes(found + piece[:end])
            found += piece
        raise OSError(errno.E2BIG, f"no end of the string at {address:#x}")

    def read_words(self, address: int, size: int, limit: int = 1 << 20) -> list[int]:
        """The words of ``size`` bytes (4 or 8) at ``address`` up to a zero word, as an argv array has it.

        Raises OSError (E2BIG) where there are ``limit`` or more, which is more than exec takes with any stack."""
        words: list[int] = []
        rest = b""
        while len(words) < limit:
            rest += self._to_end_of_page(address + size * len(words) + len(rest))
            for at in range(0, len(rest) - size + 1, size):
                word = int.from_bytes(rest[at : at + size], "little")
                if word == 0:
                    return words
                words.append(word)
            rest = rest[len(rest) - len(rest) % size :]
        raise OSError(errno.E2BIG, f"no end of the words at {address:#x}")

    def _to_end_of_page(self, address: int) -> bytes:
        data = self.read(address, 4096 - address % 4096)
        if not data:
            raise OSError(errno.ESRCH, "the process is gone")
        return data

    def _reach(self, address: int) -> None:
        self.open()
        if address >= _KERNEL_HALF:
            raise OSError(errno.EFAULT, f"{address:#x} is no address of a program")

    def close(self) -> None:
        """Close the file for good."""
        # There is no process 0, so a later use is an error and never another program's memory.
        self._tid = 0
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
