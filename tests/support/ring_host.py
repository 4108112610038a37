"""Reads the rings of a channel without htrun and without a tracer, to test the guest library. The channel is a plain
file.

This module implements the tables of docs/formats.md, and shares no code with htrun's reader of rings.
"""

from __future__ import annotations

import mmap
import os
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from htrun.channel.layout import CONTROL_OFFSET, Layout

CONTROL_BLOCK = 4096
BY_RING = 0x80000000
LAPS = 0x7FFFFFFF
X86_64 = 62
NATIVE_ONLY, ALL = 1, 2
BLOCK, DROP, OVERWRITE = 0, 1, 2
TSC, MONOTONIC_RAW = 0, 1
USED, ENDED = 2, 3

# The indexes of the 64-bit words in a control block.
OWNER, COOKIE, RESERVED, DROPPED, RELEASED = 0, 1, 8, 9, 16
# The indexes of the 32-bit words in a control block.
STATE, FLAGS, BELL = 4, 5, 20
NAME = slice(0x18, 0x28)


@dataclass
class Claim:
    """One period in which a thread owned a ring, and the records that the thread has written."""

    ring: int
    pid: int
    tid: int
    cookie: int
    big_endian: bool
    clock: int
    name: str
    args: int
    parts: list[NDArray[np.uint8]] = field(default_factory=list)

    def records(self) -> NDArray[np.void]:
        """The records, with fields ``time``, ``lap``, ``index``, ``args``."""
        kind = record_type(self.args, ">" if self.big_endian else "<")
        return np.concatenate([np.empty(0, kind), *(part.reshape(-1).view(kind) for part in self.parts)])


def record_type(args: int, order: str) -> np.dtype[np.void]:
    """The numpy type of a record with ``args`` arguments, in the byte order ``order``."""
    words = [("time", f"{order}u8"), ("lap", f"{order}u4"), ("index", f"{order}u4"), ("args", f"{order}u8", (args,))]
    return np.dtype(words)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


class RingHost:
    """A channel with rings in the file ``path``. The size of the file is a power of two, as is required of a PCI
    device's memory."""

    def __init__(
        self,
        path: Path,
        *,
        mode: int = NATIVE_ONLY,
        machine: int = X86_64,
        rings: int = 64,
        records: int = 1000,
        chunk: int = 16,
        overflow: int = BLOCK,
        args: int = 4,
        start: int = 0,
        most: int | None = None,
    ) -> None:
        """``start``: the number of the first record in each ring. ``most``: the maximum number of records that `drain`
        takes from a ring; None for no limit."""
        self.path = path
        self.layout = Layout(num_args=args)
        self.count, self.size, self.args, self.overflow, self.most = rings, records, args, overflow, most
        self.bytes = 16 + 8 * args
        self.offset = _round_up(self.layout.total_size, 65536)
        self.stride = _round_up(CONTROL_BLOCK + records * self.bytes, 65536)
        total = 1 << (self.offset + rings * self.stride - 1).bit_length()
        numbers = [(mode, 4), (machine, 4), (self.offset, 8), (self.stride, 8), (rings, 4), (records, 4)]
        numbers += [(chunk, 4), (overflow, 4), (total, 8)]
        header = self.layout.header() + b"".join(value.to_bytes(size, "little") for value, size in numbers)
        with path.open("wb+") as file:
            file.write(header)
            file.truncate(total)
            self.total = total
            self.memory = np.frombuffer(mmap.mmap(file.fileno(), total), np.uint8)
        self.claims: list[Claim] = []
        self.dropped = 0
        self.passed_over = 0
        self._open: list[Claim | None] = [None] * rings
        self._stuck = [(0, 0)] * rings
        for ring in range(rings):
            self._words(ring)[[RESERVED, RELEASED]] = start

    def run(self, command: list[str | Path], *, kill_after: float | None = None, pause: float = 0.0005) -> str:
        """Run a guest until it exits, and read its rings at the same time. Returns the guest's output. ``kill_after``:
        the time in seconds after which the guest is killed; None to let the guest exit by itself."""
        environment = os.environ | {"HYPERTRACE": str(self.path)}
        words = [str(word) for word in command]
        began = time.monotonic()
        with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
            while process.poll() is None:
                if kill_after is not None and time.monotonic() - began > kill_after:
                    process.kill()
                self.drain()
                time.sleep(pause)
            assert process.stdout is not None
            output = process.stdout.read().decode()
        assert process.returncode == (0 if kill_after is None else -9), (words, output)
        self.finish()
        return output

    def drain(self) -> None:
        """Take all records that can be read now out of the rings."""
        for ring in range(self.count):
            words = self._words(ring)
            if words[OWNER] and self._halves(ring)[STATE] >= USED:
                self._drain_ring(ring)

    def finish(self) -> None:
        """Take the remaining records out of the rings, after all guests have exited."""
        for ring in range(self.count):
            if self._words(ring)[OWNER]:
                self._end(ring)

    def control_word(self, offset: int = 0) -> int:
        """The 32-bit number at ``offset`` in the control region, little-endian."""
        start = CONTROL_OFFSET + offset
        return int.from_bytes(bytes(self.memory[start : start + 4]), "little")

    def records(self) -> NDArray[np.void]:
        """The records of all `Claim` objects, in their order."""
        return np.concatenate([claim.records() for claim in self.claims])

    def _base(self, ring: int) -> int:
        return self.offset + ring * self.stride

    def _words(self, ring: int) -> NDArray[np.uint64]:
        return self.memory[self._base(ring) : self._base(ring) + CONTROL_BLOCK].view(np.uint64)

    def _halves(self, ring: int) -> NDArray[np.uint32]:
        return self.memory[self._base(ring) : self._base(ring) + CONTROL_BLOCK].view(np.uint32)

    def _places(self, ring: int) -> NDArray[np.uint8]:
        start = self._base(ring) + CONTROL_BLOCK
        return self.memory[start : start + self.size * self.bytes].reshape(self.size, self.bytes)

    def _claim(self, ring: int) -> Claim:
        claim = self._open[ring]
        if claim is None:
            words, flags = self._words(ring), int(self._halves(ring)[FLAGS])
            owner = int(words[OWNER])
            block = bytes(self.memory[self._base(ring) :][NAME])
            name = block.rstrip(b"\0").decode()
            pid, tid, cookie = owner >> 32, owner & 0xFFFFFFFF, int(words[COOKIE])
            claim = Claim(ring, pid, tid, cookie, bool(flags & 1), flags >> 8 & 0xFF, name, self.args)
            self._open[ring] = claim
            self.claims.append(claim)
        return claim

    def _drain_ring(self, ring: int) -> None:
        ended = self._halves(ring)[STATE] == ENDED
        if ended:
            self._end(ring)
        elif self.overflow != OVERWRITE:
            self._take(ring, self.most)

    def _take(self, ring: int, most: int | None = None, *, last: bool = False) -> None:
        """Take the records up to the first incomplete record. Skip this record, too, if it will never be complete."""
        words, claim = self._words(ring), self._claim(ring)
        reserved, released = int(words[RESERVED]), int(words[RELEASED])
        end = min(reserved, released + self.size)
        if most is not None:
            end = min(end, released + most)
        number = released
        while number < end:
            stop = min(end, number - number % self.size + self.size)
            whole = self._read(claim, number, stop)
            number += whole
            if number < stop:
                break
        if number < end and (last or self._is_hole(ring, number, reserved)):
            self.passed_over += 1
            number += 1
        self._halves(ring)[BELL] = 0
        words[RELEASED] = number

    def _read(self, claim: Claim, first: int, stop: int) -> int:
        """Copy the complete records from ``first`` up to the first incomplete record or ``stop``, which are in the same
        lap. Returns the number of copied records."""
        places = self._places(claim.ring)[first % self.size : first % self.size + stop - first]
        order = ">" if claim.big_endian else "<"
        laps = places[:, 8:12].copy().view(f"{order}u4").reshape(-1)
        bad = np.flatnonzero(laps != (first // self.size % LAPS + 1 | BY_RING))
        count = int(bad[0]) if len(bad) else stop - first
        claim.parts.append(places[:count].copy())
        return count

    def _is_hole(self, ring: int, number: int, reserved: int) -> bool:
        """Whether the record ``number``, which is incomplete, must be skipped. ``reserved``: the ring's count of
        reserved records, read before the record was found to be incomplete."""
        if self.overflow == BLOCK:
            return reserved > number + self.size
        # In this mode no thread waits for room, so the count of attempts decides: a thread that is only slow would have
        # finished the record by now.
        before, times = self._stuck[ring]
        self._stuck[ring] = (number, times + 1 if before == number else 0)
        return reserved >= number + self.size - 64 and times > 50

    def _end(self, ring: int) -> None:
        words = self._words(ring)
        if self._halves(ring)[STATE] >= USED:
            self._claim(ring)
            if self.overflow == OVERWRITE:
                words[RELEASED] = max(int(words[RESERVED]) - self.size, int(words[RELEASED]))
            while words[RELEASED] < words[RESERVED]:
                self._take(ring, last=True)
        self.dropped += int(words[DROPPED])
        words[DROPPED] = 0
        self._halves(ring)[STATE] = 0
        self._open[ring] = None
        words[OWNER] = 0
