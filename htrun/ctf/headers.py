"""Reads and checks the headers of a native trace's packets. The trace may be finished or still being written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from htrun.ctf.layout import BITS, MAGIC
from htrun.events.stream import Stream

if TYPE_CHECKING:
    from htrun.ctf.tsdl import Metadata, StreamClass


class Damaged(Exception):
    """A packet is invalid. ``str()`` gives the reason."""


class StreamIdentity(NamedTuple):
    """The fields that all packets of a stream share.

    ``instance``: the stream's number in the trace. ``comm``: the thread's name as bytes.
    """

    instance: int
    tid: int
    pid: int
    vcpu: int
    comm: bytes

    def stream(self, stream_class: StreamClass) -> Stream:
        """The thread of the stream."""
        comm = self.comm.rstrip(b"\0").decode(errors="replace")
        return Stream(self.tid, self.pid, self.vcpu, comm, stream_class.big_endian)


class PacketHeader(NamedTuple):
    """The header of one packet. ``begin``, ``end``: the ticks of the packet's first and last event. ``content``: the
    size of the packet in bytes without its padding. ``size``: the size with its padding. ``discarded``: the number of
    events that the stream had lost at the end of the packet. ``number``: the number of earlier packets of the
    stream."""

    stream_class: StreamClass
    identity: StreamIdentity
    begin: int
    end: int
    content: int
    size: int
    discarded: int
    number: int

    @property
    def events(self) -> int:
        """The number of events in the packet."""
        return (self.content - self.stream_class.header_size) // self.stream_class.event_size


def read_header(descriptor: int, offset: int, metadata: Metadata) -> PacketHeader | None:
    """The header at ``offset`` of an open file; None if the file ends before or within the header.

    Raises `Damaged` if this is not a packet of the trace of ``metadata``.
    """
    some = next(iter(metadata.classes.values()))
    raw = os.pread(descriptor, some.header_size, offset)
    if len(raw) < some.header_size:
        return None
    magic, uuid, number, instance, begin, end, pid, tid, vcpu, comm, content, size, discarded, place = (
        some.header_values(raw)
    )
    stream_class = metadata.classes.get(number)
    if stream_class is None:
        raise Damaged("a packet belongs to another kind of stream")
    if magic != MAGIC:
        raise Damaged("there is no packet here")
    if uuid != metadata.uuid.bytes:
        raise Damaged("a packet belongs to another trace")
    if not stream_class.header_size * BITS <= content <= size or content % BITS or size % BITS:
        raise Damaged("a packet's size is impossible")
    content, size = content // BITS, size // BITS
    if (content - stream_class.header_size) % stream_class.event_size:
        raise Damaged("a packet's size is not a whole number of events")
    identity = StreamIdentity(instance, tid, pid, vcpu, comm)
    return PacketHeader(stream_class, identity, begin, end, content, size, discarded, place)
