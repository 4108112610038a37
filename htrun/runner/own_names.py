"""Finds the definitions of named events in the files that the program maps (`htrun.events.definition_notes`).

The tracer's main thread only reads lists of mappings (about 0.1 ms): when a process has mapped the channel, and when
such a process exits. The drain reads the files, before the sinks get the next events. A file is read once in a run. If
an event has no name, its process may have loaded a library meanwhile, so the drain looks at its mappings again.
"""

from __future__ import annotations

import os
import queue
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from htrun.events.warnings import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from htrun.events.found_names import FoundNames
    from htrun.events.records import Events
    from htrun.events.stream import Stream
    from htrun.events.warnings import Warnings
    from htrun.intercept.guest import Thread
    from htrun.runner.options import RunOptions
    from htrun.runner.outputs import Outputs

_MOST_EXITS = 64
"""The number of processes whose mappings are read when they exit. A program may have any number of short processes."""
_MOST_REPEATS = 32
"""The number of times that mappings are read in vain because of events without names."""


class _File(NamedTuple):
    """A mapped file. ``contents``: the mapped notes, if this is no file in a file system."""

    pid: int
    path: bytes
    inode: int
    contents: bytes | None = None


class OwnNames:
    """The names that are defined by the program itself. `mapped` and `ended` must be called by the tracer's main
    thread, the other methods by one thread at a time."""

    def __init__(self, options: RunOptions, outputs: Outputs, warnings: Warnings) -> None:
        self.wanted = options.events is None and options.channel_recorded
        """Whether the program's own names are used: the user's own come first."""
        self._outputs = outputs
        self._warnings = warnings
        self._files: queue.SimpleQueue[_File] = queue.SimpleQueue()
        self._seen: set[tuple[bytes, bytes]] = set()
        self._processes: set[int] = set()
        """The processes that have mapped the channel. Some unmap it before they exit."""
        self._exits = 0
        self._repeats = 0
        self._unnamed: set[int] = set()
        self._found: FoundNames | None = None

    def mapped(self, thread: Thread) -> None:
        """Note that ``thread`` has mapped the channel."""
        if self.wanted:
            self._processes.add(thread.process.pid)
            self._look(thread.tid)

    def ended(self, thread: Thread) -> None:
        """Note that ``thread`` exits. With the last thread of a process, its mappings disappear. The first thread
        usually exits together with all others."""
        space = thread.space
        if self._exits >= _MOST_EXITS or not self.wanted:
            return
        if not space.mappings and thread.process.pid not in self._processes:
            return
        if thread.tid == thread.process.pid or all(other.exiting for other in space.threads):
            self._exits += 1
            self._look(thread.tid)

    def starts(self, programs: Sequence[str]) -> None:
        """Note that the files ``programs`` are about to run without a tracer, which would see their mappings."""
        if not self.wanted:
            return
        for path in programs:
            with suppress(OSError):
                self._files.put(_File(os.getpid(), os.fsencode(path), os.stat(path).st_ino))

    def learn(self, events: Events | None, streams: Sequence[Stream]) -> Mapping[str, str | int]:
        """Read the files, and give all sinks the names in them. ``events``: the events that the sinks get next; None if
        they get none. Returns the new facts for the trace."""
        changed = self._read_files()
        if events is not None and self._repeats < _MOST_REPEATS and self._look_again(events, streams):
            if self._read_files():
                changed = True
            else:
                self._repeats += 1
        if not changed or self._found is None or self._found.named is None:
            return {}
        self._outputs.shapes.get().learn(self._found.named)
        return {"named_events": self._found.named.text}

    def _look(self, tid: int) -> None:
        """Queue the files that thread ``tid`` has mapped."""
        from htrun.events.definition_notes import MAPPING

        with suppress(OSError):
            with open(f"/proc/{tid}/maps", "rb") as file:
                lines = file.read().splitlines()
            for line in lines:
                # proc_pid_maps(5): address perms offset dev inode path
                fields = line.split(None, 5)
                if len(fields) < 6 or fields[4] == b"0" or int(fields[2], 16):
                    continue
                span, _, _, device, inode, path = fields
                is_mapping = path.rpartition(b"/")[2].startswith((MAPPING, b"memfd:" + MAPPING))
                # Programs may add notes to a mapping.
                if not is_mapping and (device, inode) in self._seen:
                    continue
                self._seen.add((device, inode))
                self._files.put(_File(tid, path, int(inode), _mapped_notes(tid, span) if is_mapping else None))

    def _look_again(self, events: Events, streams: Sequence[Stream]) -> bool:
        """Queue the files of processes that have emitted events without names. Returns whether there are such
        events."""
        import numpy as np

        from htrun.events.definitions import DEFINITIONS, HYPERTRACE

        own = events[events["kind"] == DEFINITIONS.index(HYPERTRACE)]
        ids, rows = np.unique(own["args"][:, 0], return_index=True)
        named = self._found.named if self._found is not None else None
        unnamed = [
            (id_, row)
            for id_, row in zip(ids.tolist(), rows.tolist(), strict=True)
            if id_ not in self._unnamed and (named is None or named.lookup(id_) is None)
        ]
        if not unnamed:
            return False
        self._unnamed.update(id_ for id_, _ in unnamed)
        for pid in {streams[int(own["stream"][row])].pid for _, row in unnamed}:
            self._look(pid)
        return True

    def _read_files(self) -> bool:
        """Read all queued files. Returns whether there are new names."""
        before = self._found.named if self._found is not None else None
        while True:
            try:
                file = self._files.get_nowait()
            except queue.Empty:
                break
            for text in self._texts_of(file):
                if self._found is None:
                    from htrun.events.found_names import FoundNames

                    self._found = FoundNames(self._outputs.num_args)
                for message in self._found.add(text, os.fsdecode(file.path)):
                    self._warnings.warn(Kind.DEFINITIONS, message, message)
        return self._found is not None and self._found.named is not before

    def _texts_of(self, file: _File) -> Iterator[str]:
        """The definitions in ``file``."""
        if file.contents is None:
            notes, big_endian = _notes_of(file)
        else:
            notes, big_endian = (file.contents,), False
        from htrun.events.definition_notes import NAME, NewerNoteError, texts_of

        if not any(NAME in each for each in notes):
            return
        for each in notes:
            try:
                yield from texts_of(each, big_endian=big_endian)
            except NewerNoteError as error:
                path = os.fsdecode(file.path)
                message = f"{path}: its definitions of events have version {error.args[0]}, and htrun knows version 1"
                self._warnings.warn(Kind.DEFINITIONS, path, f"{message}; its events have no names")


def _notes_of(file: _File) -> tuple[Sequence[bytes], bool]:
    """The note segments of a file, and whether it is big-endian; none if it is no ELF file or cannot be read."""
    from htrun.launch.elf import ElfError, read_notes

    # The path is the one that the process sees, which may have another root.
    for path in (file.path, b"/proc/%d/root%b" % (file.pid, file.path)):
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            continue
        try:
            if os.fstat(descriptor).st_ino == file.inode:
                return read_notes(descriptor, os.fsdecode(path), 1 << 20)
        except (OSError, ElfError):
            # A damaged file has no names.
            return (), False
        finally:
            os.close(descriptor)
    return (), False


def _mapped_notes(tid: int, span: bytes) -> bytes:
    """The contents of the mapping ``span`` (``START-END``, hexadecimal) of a thread; empty if it is gone."""
    start, end = (int(part, 16) for part in span.split(b"-"))
    try:
        descriptor = os.open(f"/proc/{tid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, min(end - start, 1 << 20), start)
        finally:
            os.close(descriptor)
    except OSError:
        return b""
