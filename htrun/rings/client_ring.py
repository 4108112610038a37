"""One ring of a channel from the reader's side (`htrun.channel.ring_layout`).

A client may write anything anywhere in the channel at any time. So the reader first copies a value from the shared
memory, then checks the copy, and uses the copy only within the ring. The reader relies only on its own counts. The
second word of a record shows whether the record is complete, so this word is read before the rest of the record.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from htrun.channel import ring_layout
from htrun.channel.ring_layout import CONTROL_SIZE, RingLayout, lap_word
from htrun.events.records import RING_SITE, joined, record_dtype, words_of

if TYPE_CHECKING:
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from htrun.events.records import Records

_WORD, _HALF = 8, 4
_LAP_WORD = 8
"""The offset of the lap word in a record."""
_WORD_MASK = (1 << 64) - 1
_FEW = 16
"""The maximum number of records that are checked one by one, which takes less time than with numpy."""
_PIECE = 8192
"""The number of records that are copied in one step. The client may overwrite these records while the next ones are
copied."""
_MOST_EVENTS = 1 << 48
"""A number of events that no thread can reach."""
_MOST_WAITING = 4096
"""The maximum number of records that a client may have reserved beyond the available room. A thread and its signal
handlers never reserve more."""
_GRACE = 2.0
"""The time in seconds for which an unfinished record holds up the records after it. A signal handler may have emitted
these later records, and then the unfinished record belongs to the older event that the handler interrupted.

This time is long because a record that is finished later appears in logs after newer ones. On a busy machine, a thread
may wait for a processor, or at a signal's stop for the tracer, for several tenths of a second."""

_ABANDONED = 1.0
"""The time in seconds after which a client that drops events may overwrite an unfinished record."""


class Client(NamedTuple):
    """The owner of a ring, as the ring describes it.

    ``pid``, ``tid``: the process id and the thread id, as the client sees them. ``name``: the thread's name.
    ``big_endian``: whether the client's records are big-endian. ``clock``: the clock of the records' time stamps, such
    as `ring_layout.CLOCK_TSC`. ``in_machine``: whether the ids and the clock belong to a machine. ``namespace``: the
    inode of the client's PID namespace; 0 if it is unknown.
    """

    owner: int
    name: str
    big_endian: bool
    clock: int
    in_machine: bool = False
    namespace: int = 0

    @property
    def pid(self) -> int:
        """The client's process id, as the client sees it."""
        return self.owner >> 32

    @property
    def tid(self) -> int:
        """The client's thread id, as the client sees it."""
        return self.owner & 0xFFFFFFFF


class Answer(NamedTuple):
    """The answer of a client in a machine: the ``number`` of an exchange (`htrun.rings.exchange`), and the reading
    ``stamp`` of the client's clock."""

    number: int
    stamp: int


class ClientRing:
    """Ring ``number``. ``client``: the ring's owner; None if it is unknown. ``damaged``: whether the ring's counts were
    ever impossible.

    ``memory``: the `RingLayout.stride` bytes of the ring.
    """

    def __init__(self, number: int, memory: memoryview, layout: RingLayout) -> None:
        self.number = number
        self.client: Client | None = None
        self.damaged = False
        self._layout = layout
        self._memory = memory
        self._words = memory[:CONTROL_SIZE].cast("Q")
        self._halves = memory[:CONTROL_SIZE].cast("I")
        self._data = memory[CONTROL_SIZE : CONTROL_SIZE + layout.records * layout.record_size]
        self._laps = self._data.cast("I")[_LAP_WORD // _HALF :: layout.record_size // _HALF]
        """The second word of each record."""
        self._records: NDArray[np.void] | None = None
        self._native = False
        self._num_args = (layout.record_size - ring_layout.RECORD_HEADER) // _WORD
        self._next = 0
        """The number of the next record to read."""
        self._released = 0
        """The number of the first record that the client must not overwrite."""
        self._holes: dict[int, float] = {}
        """The records before ``_next`` that are still unfinished because their events were interrupted. The keys are
        the records' numbers in ascending order; the values are the times at which the records were skipped
        (time.monotonic())."""
        self._waits: tuple[int, float] = (-1, 0.0)
        """The number of an unfinished record that delays later records, and the time at which it was first seen
        (time.monotonic())."""
        self._dropped_before = 0
        """The ring's count of lost events when the ring was last freed."""
        self._lost = 0
        self._overwritten = 0

    @property
    def owner(self) -> int:
        """The owner of the ring according to the ring's memory; 0 if there is no owner."""
        return self._words[ring_layout.OWNER // _WORD]

    @property
    def state(self) -> int:
        """The state of the ring, `ring_layout.FREE` to `ring_layout.ENDED`, unless the client has written another
        number there."""
        return self._halves[ring_layout.STATE // _HALF]

    @property
    def overwrites(self) -> bool:
        """Whether the client overwrites old records. htrun reads such a ring only once, after the client has exited."""
        return self._layout.overflow == ring_layout.OVERWRITE

    @property
    def lost(self) -> int:
        """The number of events that this client has lost, according to the client's own count. This number never
        decreases."""
        dropped = self._words[ring_layout.DROPPED // _WORD] - self._dropped_before
        if self._layout.overflow == ring_layout.DROP and 0 <= dropped < _MOST_EVENTS:
            self._lost = max(self._lost, dropped)
        return self._lost + self._overwritten

    @property
    def answer(self) -> Answer | None:
        """The client's last answer; None before the first answer, or while the client is writing one."""
        number = self._halves[ring_layout.ANSWERED // _HALF]
        answer = Answer(number, self._words[ring_layout.ANSWER // _WORD])
        return answer if number and self._halves[ring_layout.ANSWERED // _HALF] == number else None

    def begin(self) -> Client:
        """Take note of the ring's new owner, which has already written its ids to the ring. Returns the owner."""
        flags = self._halves[ring_layout.FLAGS // _HALF]
        name = bytes(self._memory[ring_layout.NAME : ring_layout.NAME + ring_layout.NAME_SIZE])
        client = Client(
            self.owner,
            name.partition(b"\0")[0].decode(errors="replace"),
            bool(flags & ring_layout.BIG_ENDIAN),
            flags >> ring_layout.CLOCK_SHIFT & ring_layout.CLOCK_MASK,
            bool(flags & ring_layout.IN_MACHINE),
            self._words[ring_layout.NAMESPACE // _WORD],
        )
        if self._records is None or client.big_endian == self._native:
            import numpy as np

            self._native = not client.big_endian
            self._records = np.frombuffer(self._data, _dtype(self._num_args, client.big_endian))
        self.client = client
        self._holes.clear()
        self._lost = self._overwritten = 0
        return client

    def waits(self) -> bool:
        """Whether the client has started to wait for room since the last call."""
        bell = self._halves[ring_layout.BELL // _HALF]
        if bell:
            self._halves[ring_layout.BELL // _HALF] = 0
        return bool(bell)

    def unread(self) -> int:
        """The number of remaining records, including records that are reserved but unfinished."""
        return min(max(self._words[ring_layout.RESERVED // _WORD] - self._next, 0), self._layout.records)

    def take(self, *, ended: bool) -> list[Records]:
        """Take the remaining records, oldest first, in batches of the type `htrun.events.records.record_dtype`.

        The ``site`` of all records is `RING_SITE`. ``ended``: whether the client writes no more, so that unfinished
        records stay unfinished. While the client still writes to a ring in overwrite mode, no records are taken from
        it.
        """
        if self.overwrites:
            return self._take_newest() if ended else []
        end = self._end()
        taken = self._take_late()
        if self._next < end:
            taken += self._take_until(end, ended=ended)
        if ended:
            self._holes.clear()
        self._release()
        return taken

    def free(self) -> bool:
        """Free the ring after the client has exited and all its records were taken.

        Returns False if the client has damaged the ring, so that later clients could lose events. Such a ring is not
        used again.
        """
        reserved = self._words[ring_layout.RESERVED // _WORD]
        most = _MOST_EVENTS if self.overwrites else self._layout.records + _MOST_WAITING
        self.client = None
        if self.damaged or not self._next <= reserved <= self._released + most:
            self.damaged = True
            return False
        self._next = reserved
        self._dropped_before = self._words[ring_layout.DROPPED // _WORD]
        self._release()
        self.waits()
        self._halves[ring_layout.STATE // _HALF] = ring_layout.FREE
        # Store the owner last, since the next client checks it.
        self._words[ring_layout.OWNER // _WORD] = 0
        return True

    def discard(self) -> int:
        """Skip the remaining records. Returns their number."""
        end, first = self._end(), self._next
        self._next = end
        self._holes.clear()
        self._release()
        return end - first

    def _end(self) -> int:
        """The number of the first record that cannot be complete yet."""
        reserved = self._words[ring_layout.RESERVED // _WORD]
        if not self._next <= reserved <= self._released + self._layout.records + _MOST_WAITING:
            self.damaged = True
            self._holes.clear()
            self._next = self._released = reserved
            self._words[ring_layout.RELEASED // _WORD] = reserved
        return min(reserved, self._released + self._layout.records)

    def _release(self) -> None:
        """Let the client overwrite the records that were taken.

        A skipped record stays in this table until it is finished, or until the client no longer needs the record's
        position.
        """
        released = self._next
        for number in list(self._holes):
            if not self._is_given_up(number):
                released = number
                break
            del self._holes[number]
        self._released = released
        self._words[ring_layout.RELEASED // _WORD] = self._released & _WORD_MASK

    def _is_given_up(self, number: int) -> bool:
        """Whether the client no longer needs the skipped record ``number``.

        A client that waits for room checks a position before it writes there again, and leaves the position free for
        the event that was interrupted (guest/user/emit.c). If the client got room earlier, it would not check the
        position, and both events would be lost. A client that drops events does not wait. Such a client gets room after
        a while, since a siglongjmp(3) may have abandoned the interrupted event.
        """
        if self._layout.overflow == ring_layout.BLOCK:
            return self._words[ring_layout.RESERVED // _WORD] > number + self._layout.records
        is_old = time.monotonic() - self._holes[number] >= _ABANDONED
        return is_old and self._next - number >= self._layout.records // 2

    def _take_late(self) -> list[Records]:
        """The records that were skipped because they were unfinished, and that are finished now."""
        late: list[Records] = []
        if not self._holes:
            return late
        for number in list(self._holes):
            if self._committed(number, number + 1).all():
                late.append(self._copy(number, number + 1))
                del self._holes[number]
        return late

    def _take_until(self, end: int, *, ended: bool) -> list[Records]:
        import numpy as np

        few = self._take_few(end)
        if few is not None:
            return [few]
        taken = self._take_finished(end)
        if self._next == end:
            return taken
        first, committed = self._next, self._committed(self._next, end)
        start = int(committed.argmin())
        count = len(committed) - int(committed[::-1].argmax()) if committed.any() else 0
        if count <= start or not (ended or self._has_waited(first + start)):
            self._next = first + start
            return taken + self._copied(first, self._next)
        self._next = first + count
        skipped = (first + np.flatnonzero(~committed[:count])).tolist()
        self._holes |= dict.fromkeys(skipped, time.monotonic())
        records = joined(self._copied(first, self._next))
        return [*taken, records[committed[:count]]]

    def _take_few(self, end: int) -> Records | None:
        """Take the records up to ``end`` if there are few of them, and if they are finished and contiguous in memory.
        Otherwise return None."""
        first, records = self._next, self._layout.records
        low = first % records
        high = low + end - first
        if high - low > _FEW or high > records:
            return None
        lap = lap_word(first, records)
        if not self._native:
            lap = int.from_bytes(lap.to_bytes(_HALF, "little"), "big")
        if self._laps[low:high].tolist().count(lap) < high - low:
            return None
        self._next = end
        return self._copy_positions(low, high)

    def _take_finished(self, end: int) -> list[Records]:
        """Take the records up to ``end``, or up to the first piece that contains an unfinished record. Each piece is
        released to the client as soon as it is copied, since the client may be waiting."""
        import numpy as np

        assert self._records is not None
        room, count = np.empty(end - self._next, self._records.dtype), 0
        while self._next < end:
            first, piece_end = self._next, min(end, self._next + _PIECE)
            if not self._committed(first, piece_end).all():
                break
            for low, high, _ in self._pieces(first, piece_end):
                self._copy_to(room, count, low, high)
                count += high - low
            self._next = piece_end
            self._release()
        return [self._in_order_of_host(room[:count])] if count else []

    def _copy_to(self, room: NDArray[np.void], at: int, low: int, high: int) -> None:
        """Copy the records at the positions from ``low`` to ``high`` to ``room``, from its row ``at`` on."""
        size = self._layout.record_size
        # Copy one block, since numpy would copy field by field.
        room.view("u1")[at * size : (at + high - low) * size] = self._data[low * size : high * size]
        # The byte order is changed here, while the records are in the processor's cache.
        room["site"][at : at + high - low] = RING_SITE

    def _take_newest(self) -> list[Records]:
        """Take the newest records, from a client that has overwritten older records."""

        reserved, start = self._words[ring_layout.RESERVED // _WORD], self._next
        if not start <= reserved < start + _MOST_EVENTS:
            self.damaged = True
            return []
        first = max(start, reserved - self._layout.records)
        self._overwritten += first - start
        self._next = self._released = reserved
        if first == reserved:
            return []
        records = self._copied(first, reserved)
        # Copy the records before the check. No process should write here any more. If one does, the check detects it.
        committed = self._committed(first, reserved)
        return [joined(records)[committed]] if committed.any() else []

    def _has_waited(self, number: int) -> bool:
        """Whether the unfinished record ``number`` has delayed the records after it for long enough, so that it must be
        skipped."""
        now = time.monotonic()
        if self._waits[0] != number:
            self._waits = number, now
        return now - self._waits[1] >= _GRACE or self.unread() > self._layout.records // 2

    def _pieces(self, first: int, end: int) -> list[tuple[int, int, int]]:
        """The positions of the records with the numbers ``first`` to ``end`` - 1. They are returned as ranges: the
        first position, the position after the last one, and the lap word that a complete record of this range has."""
        records, pieces = self._layout.records, []
        while first < end:
            position = first % records
            count = min(end - first, records - position)
            pieces.append((position, position + count, lap_word(first, records)))
            first += count
        return pieces

    def _committed(self, first: int, end: int) -> NDArray[np.bool_]:
        """A mask of the finished records from ``first`` to ``end``."""
        import numpy as np

        assert self._records is not None
        laps = self._records["site"]
        return np.concatenate([laps[low:high] == lap for low, high, lap in self._pieces(first, end)])

    def _copied(self, first: int, end: int) -> list[Records]:
        return [self._copy_positions(low, high) for low, high, _ in self._pieces(first, end)]

    def _copy(self, first: int, end: int) -> Records:
        return self._copied(first, end)[0]

    def _copy_positions(self, low: int, high: int) -> Records:
        import numpy as np

        assert self._records is not None
        size = self._layout.record_size
        # Copy one block, since numpy would copy field by field.
        copied = np.frombuffer(bytearray(self._data[low * size : high * size]), self._records.dtype)
        copied["site"] = RING_SITE
        return self._in_order_of_host(copied)

    def _in_order_of_host(self, records: NDArray[np.void]) -> Records:
        """``records`` in the host's byte order, except for the arguments, whose bytes are kept."""
        return records if self._native else _in_host_order(records, self._num_args)


def _dtype(num_args: int, big_endian: bool) -> np.dtype[Any]:
    """The type of a record as a client writes it: all fields are in the client's byte order."""
    dtype = record_dtype(num_args, big_endian)
    return dtype.newbyteorder(">") if big_endian else dtype


def _in_host_order(records: NDArray[np.void], num_args: int) -> Records:
    """The records in the host's byte order, except for the arguments, whose bytes are kept. ``site`` is `RING_SITE`."""
    import numpy as np

    converted = np.empty(len(records), record_dtype(num_args, True))
    converted["timestamp"] = records["timestamp"]
    converted["site"] = RING_SITE
    converted["index"] = records["index"]
    words_of(converted, "args", 0, num_args)[:] = words_of(records, "args", 0, num_args)
    return converted
