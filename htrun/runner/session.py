"""The tracer's side of one run: creates and connects all parts, and writes an account of the run at the end."""

from __future__ import annotations

import os
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any

from htrun import hosts
from htrun.channel.file import Channel
from htrun.events.records import RING_SITE
from htrun.events.warnings import Kind
from htrun.intercept.mapping_calls import MappingCalls
from htrun.intercept.masks import Masks
from htrun.intercept.no_patcher import NoPatcher
from htrun.intercept.scratch import Scratch
from htrun.launch.emulators import Emulators
from htrun.launch.system import Device
from htrun.runner.afterwards import Afterwards
from htrun.runner.client_threads import ClientThreads
from htrun.runner.follow import Follow
from htrun.runner.foreign_exec import ForeignExec
from htrun.runner.loop import Loop
from htrun.runner.machine_starts import MachineStarts
from htrun.runner.no_calls import NoCalls
from htrun.runner.options import RunOptions, Timestamp
from htrun.runner.outputs import Outputs
from htrun.runner.preparation import Preparation, runs_emulator
from htrun.runner.reach import Reach
from htrun.runner.recorded_run import RecordedRun
from htrun.runner.second_tracers import SecondTracers
from htrun.runner.signal_stops import SignalStops
from htrun.runner.site_account import SiteAccount
from htrun.runner.system_calls import SystemCalls
from htrun.runner.tracees import Hooks, Tracees
from htrun.runner.virtual_machines import VirtualMachines
from htrun.runner.wanted_calls import calls_to_record
from htrun.tracee.wait import Waiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from htrun.hosts.fastpath import TrapWait
    from htrun.intercept.guest import AddressSpace, StoppedThread, Thread
    from htrun.intercept.patcher import Patcher
    from htrun.intercept.traps import Traps
    from htrun.runner.calls import Calls
    from htrun.runner.sched_threads import SchedThreads
    from htrun.runner.starts import TracedStart
    from htrun.tracee.code_ranges import CodeRanges
    from htrun.tracee.inject import Injection

_SWITCH_INTERVAL = 0.0001
"""The time, in seconds, after which the drain must release the interpreter if a trap has woken the tracer's thread.
Python's default is 5 ms."""


class Session(RecordedRun):
    """One traced run, from the exec of the program to the exit of its last process."""

    def __init__(self, start: TracedStart, options: RunOptions, channel: Channel, outputs: Outputs) -> None:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        super().__init__(options, channel, outputs)
        self._traps: Traps | None = None
        self._first = first = start.first_process()
        self._waiter = Waiter(first)
        self._patcher: Patcher | NoPatcher = NoPatcher()
        self._sites = SiteAccount(options)
        self._follow = Follow()
        self._sched = self._record_sched()
        self._calls = self._record_calls()
        if options.tracer_events:
            self._recording.start()
        self._tracees = Tracees(first, self._waiter, self._hooks())
        self._ending = start.ending(self._tracees)
        self._afterwards = Afterwards()
        self._clients = ClientThreads(channel, self._tracees.threads, self._recording, self._warnings, self._afterwards)
        device = Device.of(str(channel.path), channel.layout, channel.rings)
        add = options.device and channel.reachable
        self._virtual = VirtualMachines(channel, self._warnings)
        self._machines = MachineStarts(device, self._tracees.processes, self._virtual, self._warnings, add=add)
        self._masks = Masks(
            self._waiter, Scratch(channel), self._warnings, self._look_at_signals, calls_to_record(options)
        )
        self._preparation = Preparation(self._steps_before_traps)
        self._reach = Reach(channel, self._warnings) if options.channel_recorded else None
        self._loop = self._make_loop()

    def _make_loop(self) -> Loop:
        mapping_calls = MappingCalls(
            self._channel,
            self._waiter,
            self._masks,
            self._warnings,
            calls_to_record(self._options),
            self._machines.mapped,
            self._controls_leave,
            self._clients.mapped,
            self._channel_mapped,
        )
        foreign_exec = self._foreign_exec()
        self._signals = signals = SignalStops(
            self._waiter,
            make_wait=self._make_wait,
            make_traps=self._make_traps,
            mapping_calls=mapping_calls,
            masks=self._masks,
            follow=self._follow,
            calls=self._calls,
            recording_failed=self._recording.fail,
        )
        system_calls = SystemCalls(
            self._tracees,
            signals,
            mapping_calls=mapping_calls,
            masks=self._masks,
            foreign_exec=foreign_exec,
            follow=self._follow,
            second_tracers=SecondTracers(self._tracees.threads, self._warnings),
            calls=self._calls,
        )
        return Loop(
            self._first,
            self._tracees,
            self._waiter,
            ending=self._ending,
            signals=signals,
            system_calls=system_calls,
            masks=self._masks,
            foreign_exec=foreign_exec,
            follow=self._follow,
            calls=self._calls,
            executed=self._executed,
            preparation=self._preparation,
            afterwards=self._afterwards,
        )

    @property
    def _expects_traps(self) -> bool:
        """Whether the run is prepared for programs that will probably trap. If calls are recorded, nothing may delay
        their stops."""
        return self._options.channel_recorded and not self._options.stop_events

    def _steps_before_traps(self) -> Iterator[None]:
        """Make everything that the first traps need, in steps (`Preparation`)."""
        self._signals.prepare_wait()
        yield
        from htrun.intercept import patcher, traps  # noqa: F401

        yield
        self._signals.prepare_traps()
        yield
        yield from hosts.current().prepare(self._options.layout.num_args)
        _ = self._recording.drain

    def _channel_mapped(self, thread: Thread) -> None:
        """Handle a thread that has mapped the channel. If the channel offers no rings, the thread will trap."""
        self._recording.own_names.mapped(thread)
        if self._channel.rings is None and self._expects_traps:
            self._preparation.begin()

    def _executed(self, pid: int) -> None:
        """Handle the start of a program by process ``pid``."""
        if self._sched is not None:
            self._sched.executed(self._tracees.threads[pid])
        if self._reach is not None:
            self._reach.executed(pid)
        if self._expects_traps and runs_emulator(pid):
            self._preparation.begin()

    def _foreign_exec(self) -> ForeignExec:
        """The handler of execs that start foreign programs or machines."""
        options = self._options
        emulators = Emulators.choose(os.environ, sysroot=options.sysroot, emulator=options.emulator)
        return ForeignExec(self._waiter, emulators, self._machines)

    def run(self) -> None:
        """Trace until the last process has exited."""
        self._loop.run()

    def end(self) -> None:
        """End the run. `run` returns soon afterwards. May be called from any thread."""
        self._ending.ask()

    def _facts(self) -> Mapping[str, str | int]:
        if self._traps is None:
            return {}
        from htrun.intercept.site_facts import facts_of

        return facts_of(self._traps.sites)

    def _steps_after_recording(self) -> Sequence[Callable[[], None]]:
        return self._look_for_stores, self._warn_of_costly_sites, self._account_for_sites

    def _look_for_stores(self) -> None:
        self._virtual.finish(self._recording.site_events.get(RING_SITE, 0))

    def _warn_of_costly_sites(self) -> None:
        if self._traps is None or not self._options.patch or self._warnings.counts[Kind.INJECTION.value]:
            # Do not warn if the user wants each event to trap, or already knows that it does.
            return
        from htrun.intercept.sites import costly

        message = costly(self._traps.sites)
        if message is not None:
            self._warnings.warn(Kind.COSTLY, None, message)

    def _account_for_sites(self) -> None:
        sites = self._traps.sites if self._traps is not None else ()
        if sites or self._recording.site_events:
            self._sites.finish(sites, self._recording.site_events)

    def _record_calls(self) -> Calls | NoCalls:
        """The recorder of system calls, thread starts and thread exits. It is imported only if these events are
        wanted."""
        if not self._options.stop_events:
            return NoCalls()
        from htrun.runner.calls import record_calls

        return record_calls(self._options, self._recording, self._follow)

    def _record_sched(self) -> SchedThreads | None:
        """The recorder of context switches and page faults; None if these events are not wanted."""
        if not self._options.sched:
            return None
        from htrun.runner.sched_threads import SchedThreads

        return SchedThreads(self._recording.record_sched(), self._recording)

    def _hooks(self) -> Hooks:
        return Hooks(self._thread_ended, self._forked, self._at_birth, self._began, self._ended)

    def _began(self, thread: Thread) -> None:
        self._calls.began(thread)
        if self._sched is not None:
            self._sched.began(thread)

    def _ended(self, thread: Thread) -> None:
        self._calls.ended(thread)
        if self._sched is not None:
            self._sched.ended(thread)

    def _make_traps(self, wait: TrapWait) -> Traps:
        from htrun.intercept.patcher import Patcher
        from htrun.intercept.traps import Traps

        # A trampoline can read no clock except the processor's counter.
        recording = self._recording
        if self._options.patch and recording.clock.source.name == hosts.current().counter:
            ordered = self._options.timestamp is Timestamp.ORDERED
            self._patcher = Patcher(
                self._channel, recording.pool, self._trampolines, self._waiter, self._warnings, ordered=ordered
            )
        self._traps = Traps(
            self._channel,
            recording,
            recording.clock,
            self._warnings,
            wait,
            self._masks,
            self._patcher,
            met=self._sites.met,
        )
        return self._traps

    @cached_property
    def _trampolines(self) -> CodeRanges:
        """The addresses at which trampolines are mapped."""
        from htrun.tracee.code_ranges import CodeRanges

        return CodeRanges()

    def _make_wait(self) -> TrapWait:
        from htrun.hosts import fastpath
        from htrun.hosts.stops import Slots
        from htrun.rings.layout import record_size

        layout = self._channel.layout
        slots = Slots(self._channel.slots_address, layout.slot_stride, layout.max_clients, layout.num_args)
        # The machine code can read no clock except the processor's counter.
        in_one_go = self._recording.clock.source.name == hosts.current().counter
        return fastpath.current().trap_wait(
            slots,
            self._trampolines,
            record_size=record_size(layout.num_args),
            run=self._follow.run,
            in_one_go=in_one_go,
        )

    def _thread_ended(self, thread: Thread) -> None:
        self._recording.own_names.ended(thread)
        self._patcher.rings.unregister(thread)
        # The client's rings are ended before the thread's own ring, because the drain checks rings of clients last
        # (`ThreadOrder`).
        self._clients.ended(thread)
        self._recording.thread_ended(thread)

    def _forked(self, creator: Thread, child: Thread) -> None:
        self._clients.forked(creator, child)
        self._patcher.forked(child, creator.space)

    def _at_birth(self, stopped: StoppedThread) -> None:
        thread, rings = stopped.thread, self._patcher.rings
        self._patcher.learn_from_children(thread)
        emits = thread.ring is None and not thread.exiting and rings.expects_events(thread.space)
        if not emits and len(thread.space.threads) == 1:
            # No other thread can have its pointer.
            return
        if rings.learn_pointer(stopped) and emits:
            ring = self._recording.lend_ahead(thread)
            if ring is not None:
                rings.register_ahead(thread, ring)

    def _look_at_signals(self) -> None:
        self._signals.look_at_signals()

    def _controls_leave(self, space: AddressSpace, injection: Injection | None, words: frozenset[int]) -> None:
        self._patcher.controls_leave(space, injection, words)

    def _account(self) -> dict[str, Any]:
        return {
            "traps": self._traps.count if self._traps else 0,
            "machine_clock": self._clients.machine_clock,
            "sites": list(self._sites.sites),
            "processes": self._tracees.processes_seen,
            "threads": self._tracees.threads_seen,
            "exit_status": self._first.exit_status,
        }
