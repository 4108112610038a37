"""The host's side of the channel's rings, in a plain file and without a tracer: what the guest library is tested with.

It follows the tables of docs/formats.md and shares no code with htrun.
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

# 64-bit words of a control block.
OWNER, COOKIE, RESERVED, DROPPED, RELEASED = 0, 1, 8, 9, 16
# 32-bit words of it.
STATE, FLAGS, BELL = 4, 5, 20
NAME = slice(0x18, 0x28)


@dataclass
class Claim:
    """One use of a ring by a thread, and the records it has written, as 64-bit words."""

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
    """The layout of a record with that many arguments in byte order ``order``."""
    words = [("time", f"{order}u8"), ("lap", f"{order}u4"), ("index", f"{order}u4"), ("args", f"{order}u8", (args,))]
    return np.dtype(words)


def _round_up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


class RingHost:
    """A channel with rings in the file ``path``, whose size is a power of two, as a PCI device's memory must be."""

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
        """``start``: number of the first record of each ring; ``most``: records that one drain takes from a ring."""
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
        """Run a guest to its end and read its rings meanwhile; its output. ``kill_after``: seconds until SIGKILL."""
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
        """What can be read now."""
        for ring in range(self.count):
            words = self._words(ring)
            if words[OWNER] and self._halves(ring)[STATE] >= USED:
                self._drain_ring(ring)

    def finish(self) -> None:
        """What is left when no guest runs any more."""
        for ring in range(self.count):
            if self._words(ring)[OWNER]:
                self._end(ring)

    def control_word(self, offset: int = 0) -> int:
        """What was stored in the control region, little-endian."""
        start = CONTROL_OFFSET + offset
        return int.from_bytes(bytes(self.memory[start : start + 4]), "little")

    def records(self) -> NDArray[np.void]:
        """The records of all claims, one after the other."""
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
        """Read on up to the first record that is not whole; pass over it if it never will be."""
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
        """How many records from ``first`` on, in one lap, were whole; they are kept."""
        places = self._places(claim.ring)[first % self.size : first % self.size + stop - first]
        order = ">" if claim.big_endian else "<"
        laps = places[:, 8:12].copy().view(f"{order}u4").reshape(-1)
        bad = np.flatnonzero(laps != (first // self.size % LAPS + 1 | BY_RING))
        count = int(bad[0]) if len(bad) else stop - first
        claim.parts.append(places[:count].copy())
        return count

    def _is_hole(self, ring: int, number: int, reserved: int) -> bool:
        """Whether the event of ``number`` was left, by what comes after it: read before it was seen to be missing."""
        if self.overflow == BLOCK:
            return reserved > number + self.size
        # No thread waits; one that is only slow would have continued by now.
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
