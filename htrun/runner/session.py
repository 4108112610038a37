"""The tracer's side of one run: everything that takes part, wired together, and the account of it at the end."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from htrun.channel.file import Channel
from htrun.events.definitions import USER_SYSCALL, USER_SYSCALL_RET
from htrun.events.stream import Stream
from htrun.events.warnings import Kind, Warnings
from htrun.hosts.x86_64.counter import best_clock
from htrun.intercept.guest import Thread
from htrun.intercept.mapping_calls import MappingCalls
from htrun.intercept.masks import Masks
from htrun.intercept.scratch import Scratch
from htrun.launch.emulators import Emulators
from htrun.launch.guests import command_line
from htrun.launch.system import Device, is_shared_by_vcpus, processors, vcpu_of
from htrun.rings.drain import SILENCE, Drain
from htrun.rings.layout import RingShape
from htrun.rings.ring import Ring, RingPool
from htrun.runner.follow import Follow
from htrun.runner.foreign_exec import ForeignExec
from htrun.runner.loop import Loop
from htrun.runner.machine_starts import MachineStarts
from htrun.runner.options import RunOptions, Timestamp
from htrun.runner.outputs import Outputs
from htrun.runner.reach import Reach
from htrun.runner.second_tracers import SecondTracers
from htrun.runner.tracees import Hooks, Tracees
from htrun.runner.wanted_calls import calls_to_record
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable

    from htrun.events.clock import Clock
    from htrun.events.tracer_events import TracerEvents
    from htrun.hosts.x86_64.fastpath.trap_wait import TrapWait
    from htrun.intercept.guest import AddressSpace
    from htrun.intercept.patcher import Patcher
    from htrun.intercept.site_report import Account
    from htrun.intercept.sites import Site
    from htrun.intercept.symbol_names import SymbolNames
    from htrun.intercept.traps import Traps
    from htrun.runner.call_texts import CallTexts
    from htrun.runner.calls import Calls
    from htrun.tracee.code_ranges import CodeRanges
    from htrun.tracee.inject import Injection

_SWITCH_INTERVAL = 0.0005
"""Seconds. How long the drain may keep the interpreter from a tracer thread that a trap has woken (default: 5 ms)."""
_PACKETS = 16
_MOST_RINGS = 4096
_MOST_NAME = 64
"""Bytes: four times what the kernel keeps of a thread's name."""


class Session:
    """One traced program, from its exec to the end of its last process."""

    def __init__(
        self, program: int, options: RunOptions, channel: Channel, outputs: Outputs, *, big_endian: bool
    ) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        self._started = time.monotonic_ns()
        self._options = options
        self._channel = channel
        self._outputs = outputs
        self._warnings = Warnings(quiet=options.verbosity < 0, verbose=options.verbosity > 0)
        self._failure: str | None = None
        threading.excepthook = self._thread_failed
        self._clock = self._choose_clock()
        self._drain: Drain | None = None
        self._pool: RingPool | None = None
        self._traps: Traps | None = None
        self._waiter = Waiter(program)
        self._patcher: Patcher | None = None
        self._sites: list[Account] = []
        self._names: SymbolNames | None = None
        self._processors = os.sched_getaffinity(0)
        self._follow = Follow()
        self._tracer_events: TracerEvents | None = None
        self._calls = self._record_calls() if options.tracer_events else None
        self._tracees = Tracees(program, self._waiter, big_endian=big_endian, hooks=self._hooks())
        device = Device(str(channel.path), channel.layout.total_size)
        add = options.device and channel.reachable
        self._machines = MachineStarts(device, self._tracees.processes, self._warnings, add=add)
        self._masks = Masks(
            self._waiter, Scratch(channel), self._warnings, self._look_at_signals, calls_to_record(options)
        )
        self._loop = Loop(
            self._tracees,
            self._waiter,
            make_traps=self._make_traps,
            mapping_calls=MappingCalls(
                channel,
                self._waiter,
                self._masks,
                self._warnings,
                calls_to_record(options),
                self._machines.mapped,
                self._controls_leave,
            ),
            masks=self._masks,
            foreign_exec=self._foreign_exec(),
            follow=self._follow,
            second_tracers=SecondTracers(self._tracees.threads, self._warnings),
            recording_failed=self._recording_failed,
            executed=Reach(channel, self._warnings).executed if options.channel_recorded else _no_program_matters,
            calls=self._calls,
        )

    def _choose_clock(self) -> Clock:
        clock = best_clock()
        if clock.source.name != "tsc" and self._options.patch:
            self._warnings.warn(
                Kind.CLOCK,
                "tsc",
                "this processor's time stamp counter is not invariant: sites are not patched, and each event traps",
            )
        return clock

    def _foreign_exec(self) -> ForeignExec:
        """What sees to it that a program of the run may start a foreign one, or a machine."""
        options = self._options
        emulators = Emulators.choose(os.environ, sysroot=options.sysroot, emulator=options.emulator)
        return ForeignExec(self._waiter, emulators, self._machines)

    def run(self) -> None:
        """Trace until the last process has ended."""
        self._loop.run()

    def kill(self) -> None:
        """Kill every process that is traced: `run` then returns. May be called from any thread."""
        self._loop.end()

    def finish(self) -> None:
        """Write out everything that is left, and the summary."""
        for step in (self._describe, self._close, self._tell_sites, self._write_summary):
            try:
                step()
            except Exception as error:
                # The later steps are worth all the more: they close the outputs, and account for the failure.
                self._failed(error, "what htrun says of the run at its end is not complete")

    def note_failure(self, error: Exception) -> None:
        """The run is over by ``error``, of which the user is told by others: the summary will say so."""
        self._failure = self._failure or f"{type(error).__name__}: {error}"

    def _failed(self, error: Exception, consequence: str) -> None:
        self._warnings.failed(error, consequence)
        self.note_failure(error)

    def _recording_failed(self, error: Exception) -> None:
        self._drain_for_rings().fail(error)

    def _thread_failed(self, failure: threading.ExceptHookArgs) -> None:
        """A thread of htrun has died of what nobody has foreseen."""
        name = failure.thread.name if failure.thread is not None else "?"
        if isinstance(failure.exc_value, Exception):
            self._failed(failure.exc_value, f"htrun's thread {name} has ended")

    def _describe(self) -> None:
        if self._options.trace is None:
            return
        # A trace of no events is a trace too.
        drain = self._drain_for_rings()
        if self._traps is not None:
            from htrun.intercept.site_facts import facts_of

            drain.describe(facts_of(self._traps.sites))

    def _close(self) -> None:
        if self._drain is not None:
            self._drain.close()
        else:
            self._outputs.close(self._warnings)

    def _write_summary(self) -> None:
        self._outputs.write_summary(self._account(), self._warnings)

    def _tell_sites(self) -> None:
        """For whoever has asked."""
        if not self._sites_wanted or self._traps is None or self._drain is None:
            return
        from htrun.intercept.site_report import account, lines

        names = self._names
        if names is not None:
            names.finish()
        find = names.find if names is not None else _no_name
        self._sites = account(self._traps.sites, self._drain.site_events, find)
        if self._options.verbosity > 0:
            # Standard error may be gone (a closed pipe): there is nobody left to tell.
            with suppress(OSError):
                sys.stderr.writelines(f"htrun: {line}\n" for line in lines(self._sites))
                sys.stderr.flush()

    def ring_of(self, thread: Thread, base_for: Callable[[Ring], int]) -> Ring:
        """The thread's ring, lent on its first event."""
        if thread.ring is None:
            thread.ring = self._drain_for_rings().lend(self._stream(thread), base_for)
            if thread.space.arena is not None:
                thread.space.arena.family.learn(emitted=True)
        return thread.ring

    def _lend_ahead(self, thread: Thread) -> None:
        """Lend a ring to a thread that is about to run its first instruction, so that its first event need not trap."""
        space, process = thread.space, thread.process
        assert self._drain is not None
        assert self._patcher is not None
        assert space.arena is not None
        stream, rings = Stream(thread.tid, process.pid), space.arena.rings
        thread.ring = self._drain.lend_ahead(stream, lambda: self._stream(thread), rings.base_of)
        if thread.ring is not None:
            self._patcher.register_ahead(thread, thread.ring)

    def make_room(self) -> None:
        """Drain the rings of which one is full, and what the tracer has recorded itself."""
        self._drain_for_rings().make_room()

    def met(self, site: Site) -> None:
        """A site was seen for the first time: if its name will be wanted, it is looked up while the program runs."""
        if not self._sites_wanted or not site.place.file:
            return
        if self._names is None:
            from htrun.intercept.symbol_cache import SymbolCache
            from htrun.intercept.symbol_names import SymbolNames

            self._names = SymbolNames(SymbolCache.of_user(os.environ), self._processors)
        self._names.ask(site.place.file, site.place.offset_of(site.address))

    @property
    def _sites_wanted(self) -> bool:
        """Whether anybody wants to know what became of the sites."""
        return self._options.summary is not None or self._options.verbosity > 0

    def wake(self) -> None:
        """A record was written."""
        self._drain_for_rings().wake()

    def _drain_for_rings(self) -> Drain:
        if self._drain is None:
            packet_stride = max(4096, self._options.ring_size // _PACKETS // 4096 * 4096)
            self._pool = RingPool(RingShape(self._channel.layout.num_args, _PACKETS, packet_stride), _MOST_RINGS)
            self._drain = Drain(
                self._pool,
                self._clock,
                self._warnings,
                sinks=self._outputs.sinks,
                packet_sink=self._outputs.packet_sink(self._clock, self._warnings),
                overflow=self._options.overflow,
                tracer_events=self._tracer_events,
                silence=None if self._options.timestamp is Timestamp.ORDERED else SILENCE,
            )
        return self._drain

    def _record_calls(self) -> Calls:
        """What records system calls and the lives of threads. Imported only where they are wanted."""
        from htrun.events.tracer_events import TracerEvents
        from htrun.hosts.x86_64.fastpath.call_wait import CallWait
        from htrun.runner.calls import Calls

        self._tracer_events = TracerEvents()
        drain = self._drain_for_rings()
        drain.start()
        source = self._clock.source
        wait = CallWait(
            self._tracer_events,
            entries=USER_SYSCALL.name in self._options.recorded,
            returns=USER_SYSCALL_RET.name in self._options.recorded,
            clock=source.read,
            in_one_go=source.name == "tsc",
            make_room=self.make_room,
            wake=drain.wake,
            ran=self._follow.ran,
        )
        self._follow.calls = wait

        def stream_of(thread: Thread) -> int:
            return drain.add_stream(self._stream(thread))

        wanted, events = calls_to_record(self._options), self._options.recorded
        return Calls(wait, wanted, events, source.read, stream_of, self._call_texts())

    def _call_texts(self) -> CallTexts | None:
        """What reads the texts that calls point to, where they are wanted."""
        if not self._options.texts_recorded:
            return None
        from htrun.runner.call_texts import CallTexts

        recorded = self._options.recorded
        return CallTexts(entries=USER_SYSCALL.name in recorded, returns=USER_SYSCALL_RET.name in recorded)

    def _hooks(self) -> Hooks:
        calls = self._calls
        began = calls.began if calls is not None else _no_matter
        ended = calls.ended if calls is not None else _no_matter
        return Hooks(self._thread_ended, self._forked, self._at_birth, began, ended)

    def _stream(self, thread: Thread) -> Stream:
        name = _name_of(thread.tid) if thread.comm is None else thread.comm
        if not name and thread.comm is not None:
            # It has exited while the drain asked: its name was noted before.
            name = thread.comm
        process = thread.process
        vcpu = vcpu_of(name)
        if is_shared_by_vcpus(name):
            vcpu = 0
            self._tell_of_shared_thread(process.pid)
        number = thread.number if vcpu is None else vcpu
        return Stream(thread.tid, process.pid, number, name, process.big_endian, time.time_ns())

    def _tell_of_shared_thread(self, pid: int) -> None:
        count = processors(command_line(pid))
        if count > 1:
            self._warnings.warn(
                Kind.SHARED_THREAD,
                pid,
                f"QEMU runs the machine's {count} processors in one thread (thread=single or -icount): "
                "every event bears the number of the first, whichever emitted it",
            )

    def _make_traps(self) -> Traps:
        from htrun.intercept.patcher import Patcher
        from htrun.intercept.traps import Traps
        from htrun.tracee.code_ranges import CodeRanges

        self._drain_for_rings()
        assert self._pool is not None
        trampolines = CodeRanges()
        # A trampoline can read nothing but the counter.
        if self._options.patch and self._clock.source.name == "tsc":
            ordered = self._options.timestamp is Timestamp.ORDERED
            self._patcher = Patcher(
                self._channel, self._pool, trampolines, self._waiter, self._warnings, ordered=ordered
            )
        wait = self._trap_wait(trampolines, self._pool.shape.record_size)
        self._traps = Traps(self._channel, self, self._clock, self._warnings, wait, self._masks, self._patcher)
        return self._traps

    def _trap_wait(self, trampolines: CodeRanges, record_size: int) -> TrapWait:
        from htrun.hosts.x86_64.fastpath.known_traps import KnownTraps, Slots
        from htrun.hosts.x86_64.fastpath.trap_wait import TrapWait
        from htrun.hosts.x86_64.registers import Registers

        layout, registers = self._channel.layout, Registers()
        slots = Slots(self._channel.slots_address, layout.slot_stride, layout.max_clients, layout.num_args)
        # The machine code can read nothing but the counter.
        in_one_go = self._clock.source.name == "tsc"
        known = KnownTraps(
            registers, slots, trampolines, record_size=record_size, run=self._follow.run, in_one_go=in_one_go
        )
        return TrapWait(registers, known)

    def _thread_ended(self, thread: Thread) -> None:
        if self._patcher is not None:
            self._patcher.unregister(thread)
        ring = thread.ring
        if ring is None or self._drain is None:
            return
        if ring.who is not None:
            # The drain, which has not seen an event of it yet, may come when it is gone.
            thread.comm = "" if ring.is_unused else _name_of(thread.tid)
            if thread.space.arena is not None:
                thread.space.arena.family.learn(emitted=not ring.is_unused)
        self._drain.end(ring)

    def _forked(self, creator: Thread, child: Thread) -> None:
        if self._patcher is not None:
            self._patcher.forked(child, creator.space)

    def _at_birth(self, thread: Thread) -> None:
        if self._patcher is None:
            return
        self._patcher.learn_from_children(thread)
        if not self._patcher.learn_pointer(thread):
            return
        if thread.ring is None and not thread.exiting and self._patcher.expects_events(thread.space):
            self._lend_ahead(thread)

    def _look_at_signals(self) -> None:
        if self._traps is not None:
            self._traps.wait.known.look_at_signals()

    def _controls_leave(self, space: AddressSpace, injection: Injection | None, words: frozenset[int]) -> None:
        if self._patcher is not None:
            self._patcher.controls_leave(space, injection, words)

    def _account(self) -> dict[str, Any]:
        from htrun import __version__

        status = self._tracees.first_status or 0
        return {
            "version": 1,
            "htrun": __version__,
            "program": list(self._options.program),
            "events": self._drain.events if self._drain else 0,
            "kinds": dict(self._drain.kinds) if self._drain else {},
            "lost": self._drain.lost if self._drain else 0,
            "failure": (self._drain.failure if self._drain else None) or self._failure,
            "traps": self._traps.count if self._traps else 0,
            "sites": self._sites,
            "warnings": dict(self._warnings.counts),
            "processes": self._tracees.processes_seen,
            "threads": self._tracees.threads_seen,
            "exit_status": os.waitstatus_to_exitcode(status),
            "seconds": (time.monotonic_ns() - self._started) / 1e9,
        }


def _name_of(tid: int) -> str:
    """A thread's name; empty if it is gone. Asked for each program that is started, so without pathlib's ease."""
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


def _no_matter(_thread: Thread) -> None:
    """Nobody wants to know of the thread's life."""


def _no_program_matters(_pid: int) -> None:
    """Nobody wants to know that a program has begun."""


def _no_name(_file: str, _offset: int) -> None:
    """No site is in a file."""
