"""Makes the blobs that a guest's kernel module sends, without a guest: ``guest/linux-module/blob.c`` in Python."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from htrun.analysis.guest_trace.blobs import BlobKind

_MAGIC = 0xB10B7ACE

SCHED_SWITCH = """\
name: sched_switch
ID: 314
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

	field:char prev_comm[16];	offset:8;	size:16;	signed:1;
	field:pid_t prev_pid;	offset:24;	size:4;	signed:1;
	field:long prev_state;	offset:32;	size:8;	signed:1;
	field:unsigned long args[3];	offset:40;	size:24;	signed:0;
	field:__data_loc char[] path;	offset:64;	size:4;	signed:1;

print fmt: "%s:%d [%s] (%lx, %ld) %s", REC->prev_comm, REC->prev_pid, (REC->prev_state & 3) ? \
__print_flags(REC->prev_state & 3, "|", { 0x00000001, "S" }, { 0x00000002, "D" }) : "R", \
REC->args[0], REC->args[2], __get_str(path)
"""
TYPE = 314


@dataclass(frozen=True)
class Blob:
    """One blob. ``time``: the guest's time in ns."""

    kind: BlobKind
    time: int
    data: bytes
    big_endian: bool = False

    def events(self, num_args: int) -> list[tuple[int, ...]]:
        """The arguments of the events in which the kernel module sends the blob."""
        words = [_MAGIC << 32 | self.big_endian << 31 | self.kind << 24 | len(self.data), self.time]
        padded = self.data + bytes(-len(self.data) % 8)
        words += struct.unpack(f"{'>' if self.big_endian else '<'}{len(padded) // 8}Q", padded)
        words += [0] * (-len(words) % num_args)
        return [tuple(words[at : at + num_args]) for at in range(0, len(words), num_args)]


def format_blob(text: str = SCHED_SWITCH, *, system: str = "sched", big_endian: bool = False) -> Blob:
    """A blob that contains ``text``, the format of an event."""
    return Blob(BlobKind.FORMAT, 0, f"{system}\n{text}".encode(), big_endian)


def symbol_blob(address: int, name: str, *, big_endian: bool = False) -> Blob:
    """A blob that contains the address and the name of a function."""
    return Blob(BlobKind.SYMBOL, 0, address.to_bytes(8, "big" if big_endian else "little") + name.encode(), big_endian)


@dataclass(frozen=True)
class Switch:
    """An event whose fields have the format `SCHED_SWITCH`."""

    comm: bytes
    pid: int
    state: int
    args: tuple[int, int, int]
    path: str

    def blob(self, time: int, *, big_endian: bool = False) -> Blob:
        """The blob that the guest sends for this event. The bytes after the end of ``comm`` are arbitrary."""
        order = ">" if big_endian else "<"
        comm = (self.comm + b"\0" + b"remains of others")[:16]
        path = self.path.encode() + b"\0"
        fixed = struct.pack(f"{order}HBBi16si4xq3QI", TYPE, 1, 2, self.pid, comm, self.pid, self.state, *self.args,
                            len(path) << 16 | 68)  # fmt: skip
        return Blob(BlobKind.ENTRY, time, fixed + path + bytes(-len(fixed + path) % 4), big_endian)
