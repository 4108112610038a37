"""Reads native traces as batches of events in order of time, in memory that does not grow with the trace.

Pieces (see `htrun.ctf.packets`) are read in the order in which they begin. Events that are older than the start of the
next piece are returned, since no older event can follow. The other events wait. No step loops over single events.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from htrun.ctf.packets import Damage, StreamFile, scan, stream_files
from htrun.ctf.pieces import in_order, piece_size
from htrun.ctf.threads import ThreadNumbers, threads_in
from htrun.ctf.tsdl import Metadata, TsdlError, environment_of, parse
from htrun.errors import HtrunError
from htrun.events.call_texts import after_their_calls, in_batches
from htrun.events.definitions import DEFINITIONS, HYPERTRACE, USER_SYSCALL_TEXT
from htrun.events.losses import Loss
from htrun.events.records import NUMBER_PAIRS, event_dtype, is_pair, pair_of, words_of
from htrun.events.window import BATCH, EVERYTHING, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from htrun.ctf.pieces import Pieces
    from htrun.ctf.tsdl import StreamClass
    from htrun.events.clock import Fit
    from htrun.events.definitions import Definition
    from htrun.events.records import Events
    from htrun.events.stream import Stream

    _Warn = Callable[[Path, str, int], None]
    """A function that is called for damage, with the file, a description of the damage, and the offset in the file."""

_MOST_METADATA = 1 << 24
"""The maximum size of metadata in bytes. htrun never writes a larger file."""
_OPEN_FILES = 64
_SECOND = 1_000_000_000
_SHARED = 2**32 - 1
"""The thread number of a file that belongs to a shared stream. The events of such a stream contain their threads."""


class CtfReader:
    """A native trace.

    ``streams``: the threads of the trace. ``files``: the index of each file. ``discarded``: the number of lost events
    of each stream.
    """

    def __init__(self, path: Path, metadata: Metadata, files: list[StreamFile], warn: _Warn) -> None:
        self.path = path
        self.metadata = metadata
        own = [file for file in files if not file.stream_class.names_threads]
        named = threads_in(file for file in files if file.stream_class.names_threads)
        self.streams: list[Stream] = list(dict.fromkeys([*(_thread(file.stream) for file in own), *named.values()]))
        self._files = files
        self._warn = warn
        numbers = {stream: number for number, stream in enumerate(self.streams)}
        self._stream_numbers = [numbers.get(_thread(file.stream), _SHARED) for file in files]
        self._named = ThreadNumbers({number: numbers[stream] for number, stream in named.items()})
        self.discarded = [0] * len(self.streams)
        # A thread may have several streams, and a stream may have several files. Each file counts losses from the
        # stream's start.
        ends = {file.instance: file for file in own}
        for file in ends.values():
            self.discarded[numbers[_thread(file.stream)]] += file.discarded
        self.losses = [
            Loss(
                numbers[_thread(file.stream)],
                metadata.clock.to_realtime_ns(loss.begin),
                min(metadata.clock.to_realtime_ns(loss.end), EVERYTHING.end),
                loss.events,
            )
            for file in ends.values()
            for loss in file.losses
        ]
        self._pieces = in_order(file.pieces for file in files)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether ``path`` looks like a native trace."""
        return (path / "metadata").is_file()

    @classmethod
    def open(cls, path: Path, warn: Callable[[str], None]) -> CtfReader:
        """Open the trace in the directory ``path``.

        ``warn`` is called for damage. Raises `HtrunError` if ``path`` is not a trace.
        """

        def tell(file: Path, damage: str, place: int) -> None:
            warn(f"{file}: {damage} (byte {place}); everything before this is read")

        metadata = _metadata(path)
        files: list[StreamFile] = []
        try:
            streams = stream_files(path)
            size = piece_size(len(streams))
            for paths in streams:
                before: StreamFile | None = None
                for file in paths:
                    found = scan(file, len(files), metadata, size, before)
                    damage = found if isinstance(found, Damage) else found.damage
                    if isinstance(found, StreamFile):
                        files.append(found)
                        before = found
                    if damage is not None:
                        tell(file, damage.what, damage.place)
                        break
        except OSError as error:
            raise HtrunError(f"cannot read {error.filename or path}: {error.strerror}") from error
        return cls(path, metadata, files, tell)

    @property
    def events(self) -> int:
        """The number of events in the trace. It is exact unless times within a packet are damaged."""
        return sum(file.events for file in self._files)

    @property
    def texts(self) -> int:
        """The number of `events` that are texts of system calls (`htrun.events.call_texts`)."""
        kinds = ((file.events, DEFINITIONS[file.stream_class.kind]) for file in self._files)
        return sum(count for count, kind in kinds if kind is USER_SYSCALL_TEXT)

    @property
    def count(self) -> int:
        """The number of events without `texts`."""
        return self.events - self.texts

    @property
    def description(self) -> Mapping[str, str | int]:
        """The facts of the run."""
        return self.metadata.environment

    @property
    def clock_frequency(self) -> int:
        """The frequency of the trace's clock in Hz."""
        return self.metadata.clock.frequency

    @property
    def num_args(self) -> int:
        """The number of arguments for which a batch has room."""
        return max([self.channel_args, *(file.stream_class.arguments for file in self._files)])

    @property
    def kinds(self) -> tuple[Definition, ...]:
        """The kinds of events that have stream classes."""
        return tuple(DEFINITIONS[kind] for kind in sorted({each.kind for each in self.metadata.classes.values()}))

    @property
    def channel_args(self) -> int:
        """The number of arguments of a ``guest_hypertrace`` event."""
        classes = self.metadata.classes.values()
        return max((each.arguments for each in classes if DEFINITIONS[each.kind] is HYPERTRACE), default=1)

    @property
    def duration(self) -> tuple[int, int] | None:
        """The times of the first and the last event, or None if there are no events."""
        if not len(self._pieces):
            return None
        ends = (int(self._pieces["begin"][0]), int(self._pieces["limit"].max()))
        return self.metadata.clock.to_realtime_ns(ends[0]), self.metadata.clock.to_realtime_ns(ends[1])

    def batches(self, window: Window = EVERYTHING, size: int = BATCH) -> Iterator[Events]:
        """The events of ``window`` in order of time, in batches of about ``size``."""
        numbers = self._stream_numbers
        loader = _Loader(self._files, numbers, self._named, self.metadata.clock, self.num_args, self._warn)
        try:
            for events in _in_order(self._wanted(window), loader, size):
                wanted = within(self._of_threads(events, window), window)
                if len(wanted):
                    yield wanted
        finally:
            loader.close()

    def _of_threads(self, events: Events, window: Window) -> Events:
        """The ``events`` that belong to the threads of ``window``. Only shared streams contain events of other
        threads."""
        if window.streams is None or _SHARED not in self._stream_numbers:
            return events
        return events[np.isin(events["stream"], list(window.streams))]

    def _wanted(self, window: Window) -> Pieces:
        pieces = self._pieces
        if window.streams is not None:
            numbers = {*window.streams, _SHARED}
            files = [file for file, number in enumerate(self._stream_numbers) if number in numbers]
            pieces = pieces[np.isin(pieces["file"], files)]
        if window.begin > 0 or window.end < EVERYTHING.end:
            clock = self.metadata.clock
            begun = to_nanoseconds(pieces["begin"], clock) < window.end
            pieces = pieces[begun & (to_nanoseconds(pieces["limit"], clock) >= window.begin)]
        return pieces


def to_nanoseconds(ticks: NDArray[np.uint64], clock: Fit) -> NDArray[np.uint64]:
    """The wall clock at ``ticks``, in ns since the epoch. This is the vectorised form of `Fit.to_realtime_ns`.

    The whole seconds are computed separately, to avoid overflow and double rounding.
    """
    frequency = np.uint64(clock.frequency)
    moved = ticks + np.uint64(clock.offset_ticks)
    seconds = moved // frequency
    rest = moved - seconds * frequency
    # An offset before the epoch wraps around.
    since_epoch = seconds + np.uint64(clock.offset_seconds % (1 << 64))
    return since_epoch * np.uint64(_SECOND) + rest * np.uint64(_SECOND) // frequency


def _thread(stream: Stream) -> Stream:
    """The key that identifies the thread of a file's stream. It does not include the byte order, since files with
    different kinds of events may have different byte orders."""
    return stream._replace(big_endian=False)


def _metadata(path: Path) -> Metadata:
    text = _metadata_text(path)
    producer = environment_of(text).get("tracer_name")
    try:
        return parse(text)
    except TsdlError as error:
        if producer == "htrun":
            version = environment_of(text).get("htrun_version", "?")
            raise HtrunError(
                f"{path} is damaged, or was written by another version of htrun ({version}): {error}"
            ) from None
        by = f"by {producer}, not by htrun" if producer else "by another program than htrun"
        raise HtrunError(f"{path} was written {by} ({error}); babeltrace2 may read it") from None


def _metadata_text(path: Path) -> str:
    if path.is_file() and not path.stat().st_size:
        raise HtrunError(f"{path} is not a trace: it is empty")
    try:
        with (path / "metadata").open("rb") as file:
            raw = file.read(_MOST_METADATA + 1)
    except NotADirectoryError:
        raise HtrunError(
            f"{path} is not a trace: it is not a directory; htrun -o writes traces as directories"
        ) from None
    except FileNotFoundError:
        what = "it has no file 'metadata'" if path.is_dir() else "it does not exist"
        raise HtrunError(f"{path} is not a trace: {what}") from None
    except OSError as error:
        raise HtrunError(f"cannot read {path / 'metadata'}: {error.strerror}") from error
    if not raw:
        raise HtrunError(f"{path} is not a trace: its metadata is empty")
    return raw.decode(errors="replace")


def _in_order(pieces: Pieces, loader: _Loader, size: int) -> Iterator[Events]:
    waiting = np.empty(0, loader.dtype)
    ends = np.cumsum(pieces["count"], dtype=np.int64)
    place = 0
    while place < len(pieces):
        # Each step makes one batch: with the waiting events, at most `size`. But it reads at least as many events as
        # are already waiting. Otherwise events of very many threads would be sorted again and again.
        wanted = int(ends[place]) - int(pieces["count"][place]) + max(size - len(waiting), len(waiting))
        upto = max(int(np.searchsorted(ends, wanted, side="right")), place + 1)
        events = _sorted([waiting, *loader.load(pieces[place:upto])])
        if loader.has_texts:
            events = after_their_calls(events)
        place = upto
        ready = len(events)
        if place < len(pieces):
            horizon = to_nanoseconds(pieces["begin"][place : place + 1], loader.clock)[0]
            ready = int(np.searchsorted(events["time"], horizon))
        waiting = events[ready:]
        yield from in_batches(events[:ready], size)


def _sorted(runs: Sequence[Events]) -> Events:
    """Merge ``runs`` into one batch in order of time. Events of a thread with equal times keep their order, since they
    are in one run."""
    runs = [run for run in runs if len(run)] or runs[:1]
    # numpy copies structures field by field, but rows of words in one block.
    words = runs[0].dtype.itemsize // 8
    rows = np.concatenate([run.view("<u8").reshape(-1, words) for run in runs]) if len(runs) > 1 else None
    events = runs[0] if rows is None else rows.reshape(-1).view(runs[0].dtype)
    times = np.ascontiguousarray(events["time"])
    if bool((times[1:] >= times[:-1]).all()):
        return events
    # Stable sorting is also fast here, since it exploits runs that are already in order.
    order = np.argsort(times, kind="stable")
    return events.view("<u8").reshape(-1, words).take(order, axis=0).reshape(-1).view(events.dtype)


def within(events: Events, window: Window) -> Events:
    """The ``events`` that happened in ``window``."""
    times = events["time"]
    if not len(events) or (window.begin <= int(times[0]) and int(times[-1]) < window.end):
        return events
    return events[np.searchsorted(times, np.uint64(window.begin)) : np.searchsorted(times, np.uint64(window.end))]


class _Loader:
    """Reads and decodes pieces. If a stream turns out to be damaged, no more of its pieces are read."""

    def __init__(
        self,
        files: Sequence[StreamFile],
        stream_numbers: Sequence[int],
        named: ThreadNumbers,
        clock: Fit,
        num_args: int,
        warn: _Warn,
    ) -> None:
        self.clock = clock
        self.dtype = event_dtype(num_args)
        self._files = files
        self._stream_numbers = np.array(stream_numbers, np.uint32)
        self._named = named
        self._class_numbers = np.array([file.stream_class.number for file in files])
        self._classes = {file.stream_class.number: file.stream_class for file in files}
        kinds = {DEFINITIONS[stream_class.kind] for stream_class in self._classes.values()}
        self.has_texts = USER_SYSCALL_TEXT in kinds
        self._warn = warn
        self._open: OrderedDict[int, int] = OrderedDict()
        self._damaged: set[int] = set()

    def load(self, pieces: Pieces) -> list[Events]:
        """The events of ``pieces``, in the order of the pieces. The events of a stream end before its first impossible
        event."""
        batches = []
        classes = self._class_numbers[pieces["file"]]
        for number, stream_class in self._classes.items():
            places = np.flatnonzero(classes == number)
            if len(places):
                own = pieces[places]
                records, counts = self._records(own, stream_class)
                if stream_class.names_threads:
                    streams = self._named.places(records["thread"])
                else:
                    streams = np.repeat(self._stream_numbers[own["file"]], counts)
                batches.append((places, counts, self._decoded(records, stream_class, streams)))
        return [events for _, _, events in batches] if len(batches) == 1 else _in_piece_order(batches)

    def close(self) -> None:
        """Close the open files."""
        while self._open:
            os.close(self._open.popitem()[1])

    def _records(self, pieces: Pieces, stream_class: StreamClass) -> tuple[NDArray[np.void], NDArray[np.int64]]:
        """The plausible records of ``pieces``, and the number of these records in each piece."""
        records = np.empty(int(pieces["count"].sum()), stream_class.event_dtype)
        counts = pieces["count"].astype(np.int64)
        starts = np.cumsum(counts) - counts
        got = [
            self._read(piece, records[start : start + count])
            for piece, start, count in zip(pieces.tolist(), starts.tolist(), counts.tolist(), strict=True)
        ]
        if got == counts.tolist() and _all_right(records["timestamp"], pieces, starts, counts):
            return records, counts
        right = [
            self._right(piece, records["timestamp"][start : start + count])
            for piece, start, count in zip(pieces, starts.tolist(), got, strict=True)
        ]
        kept = [records[start : start + count] for start, count in zip(starts.tolist(), right, strict=True)]
        return np.concatenate(kept), np.array(right, np.int64)

    def _read(self, piece: tuple[int, ...], records: NDArray[np.void]) -> int:
        """Read the records of ``piece`` into ``records``. Returns the number of records."""
        _, _, offset, _, number = piece
        if self._files[number].instance in self._damaged:
            return 0
        try:
            size = os.preadv(self._descriptor(number), [records.view("u1").data], offset)
        except OSError as error:
            raise HtrunError(f"cannot read {self._files[number].path}: {error.strerror}") from error
        return size // records.dtype.itemsize

    def _descriptor(self, number: int) -> int:
        descriptor = self._open.pop(number, -1)
        if descriptor < 0:
            if len(self._open) == _OPEN_FILES:
                os.close(self._open.popitem(last=False)[1])
            descriptor = os.open(self._files[number].path, os.O_RDONLY | os.O_CLOEXEC)
        self._open[number] = descriptor
        return descriptor

    def _right(self, piece: Any, times: NDArray[np.uint64]) -> int:
        """The number of ``times`` of a piece before the first impossible time. If there is an impossible time, this
        reports the damage."""
        number = int(piece["file"])
        file = self._files[number]
        if file.instance in self._damaged:
            return 0
        count = _right_times(times, piece)
        if count < piece["count"]:
            self._damaged.add(file.instance)
            place = int(piece["offset"]) + count * file.stream_class.event_size
            self._warn(file.path, "the times are not in order", place)
        return count

    def _decoded(self, records: NDArray[np.void], stream_class: StreamClass, streams: NDArray[np.uint32]) -> Events:
        definition = DEFINITIONS[stream_class.kind]
        complete = bool(definition.fields) and stream_class.arguments == self.dtype["args"].shape[0]
        events = (np.empty if complete else np.zeros)(len(records), self.dtype)
        events["time"] = to_nanoseconds(records["timestamp"], self.clock)
        events["stream"] = streams
        events["kind"] = stream_class.kind
        _copy_numbers(events, records, definition)
        count = stream_class.arguments
        if stream_class.big_endian:
            events["args"][:, :count] = records["args"]
        elif count:
            words_of(events, "args", 0, count)[:] = words_of(records, "args", 0, count)
        return events


def _in_piece_order(batches: Sequence[tuple[NDArray[np.int64], NDArray[np.int64], Events]]) -> list[Events]:
    """The events of each piece. Then the order of events of different classes with equal times does not depend on the
    other events that are read. Each batch has the places of its pieces, and the numbers of their events."""
    found: dict[int, Events] = {}
    for places, counts, events in batches:
        ends = np.cumsum(counts)
        for place, begin, end in zip(places.tolist(), (ends - counts).tolist(), ends.tolist(), strict=True):
            found[place] = events[begin:end]
    return [found[place] for place in sorted(found)]


def _copy_numbers(events: Events, records: NDArray[np.void], definition: Definition) -> None:
    """Fill the columns of `NUMBER_PAIRS` in ``events``. If ``records`` do not have a field, the column is 0."""
    held = records.dtype.names or ()
    for pair in NUMBER_PAIRS:
        if not set(pair) & set(definition.columns):
            pair_of(events, pair[0])[:] = 0
        elif is_pair(records, *pair):
            pair_of(events, pair[0])[:] = pair_of(records, pair[0])
        else:
            for name in pair:
                events[name] = records[name] if name in held else 0


def _all_right(times: NDArray[np.uint64], pieces: Pieces, starts: NDArray[np.int64], counts: NDArray[np.int64]) -> bool:
    """Whether, in each piece, the times never go backwards and stay within the bounds from the index."""
    back = times[1:] < times[:-1]
    back[starts[1:] - 1] = False
    return bool(
        not back.any()
        and (times[starts] == pieces["begin"]).all()
        and (times[starts + counts - 1] <= pieces["limit"]).all()
    )


def _right_times(times: NDArray[np.uint64], piece: Any) -> int:
    if not len(times) or times[0] != piece["begin"]:
        return 0
    wrong = times > piece["limit"]
    wrong[1:] |= times[1:] < times[:-1]
    return int(np.argmax(wrong)) if bool(wrong.any()) else len(times)
