"""Describes the stream of a thread in the trace: the ids, the number and the name that the thread has at its first
event."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from htrun.channel import ring_layout
from htrun.events.stream import Stream
from htrun.events.warnings import Kind
from htrun.launch.guests import command_line
from htrun.launch.system import is_shared_by_vcpus, processors, vcpu_of

if TYPE_CHECKING:
    from htrun.events.warnings import Warnings
    from htrun.intercept.guest import Thread
    from htrun.rings.client_ring import Client

_MOST_NAME = 64
"""The maximum number of bytes of a name: four times the length that the kernel keeps."""


class StreamNames:
    """Makes the streams of threads. Warns if QEMU runs several processors of a machine in one thread."""

    def __init__(self, warnings: Warnings) -> None:
        self._warnings = warnings

    def stream_of(self, thread: Thread) -> Stream:
        """A new stream for ``thread``, beginning now. May be called from any thread of htrun."""
        name = last_name_of(thread) if thread.comm is None else thread.comm
        process = thread.process
        vcpu = vcpu_of(name)
        if is_shared_by_vcpus(name):
            vcpu = 0
            self._warn_of_shared_thread(process.pid)
        number = thread.number if vcpu is None else vcpu
        return Stream(thread.tid, process.pid, number, name, process.big_endian, time.time_ns())

    def _warn_of_shared_thread(self, pid: int) -> None:
        count = processors(command_line(pid))
        if count > 1:
            self._warnings.warn(
                Kind.SHARED_THREAD,
                pid,
                f"QEMU runs the machine's {count} processors in one thread (thread=single or -icount): "
                "every event has the number of the first processor, even if another processor emitted it",
            )


def client_stream(thread: Thread, client: Client) -> Stream:
    """A new stream for ``thread``, which has taken a ring of the channel. ``client``: the description of the thread in
    the ring."""
    return Stream(thread.tid, thread.process.pid, thread.number, client.name, client.big_endian, time.time_ns())


def machine_stream(client: Client) -> Stream:
    """A new stream for a thread or a processor of a machine, with the ids from inside the machine. The machine's kernel
    gets process id 0."""
    if client.pid == ring_layout.KERNEL:
        return Stream(client.tid, 0, client.tid - 1, client.name, client.big_endian, time.time_ns())
    return Stream(client.tid, client.pid, 0, client.name, client.big_endian, time.time_ns())


def last_name_of(thread: Thread) -> str:
    """The name of a thread that may be gone. A thread that is killed, for example by exit_group(2), may have no exit
    event.

    If the thread is gone, this is the name of its process, because a new thread has the name of its creator. The
    process exists until the tracer has seen all its threads exit.

    Another thread of htrun may set ``thread.comm`` at the same time: the tracer sets it before it resumes a thread from
    its exit event. So ``thread.comm`` is read again after each attempt that found no name.
    """
    return name_of(thread.tid) or thread.comm or name_of(thread.process.pid) or thread.comm or ""


def name_of(tid: int) -> str:
    """The name of a thread; empty if the thread is gone. This is called whenever a program is started, so it does not
    use pathlib, which is slower."""
    try:
        descriptor = os.open(f"/proc/{tid}/comm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(descriptor, _MOST_NAME).decode(errors="replace").rstrip("\n")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
