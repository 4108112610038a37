"""The outputs of a run. They are opened before the program is started, so that errors are reported before it runs."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from htrun import __version__
from htrun.errors import HtrunError
from htrun.events.definitions import HYPERTRACE
from htrun.events.sink import PacketSink, Sink, failure_of
from htrun.events.warnings import Kind, Warnings
from htrun.launch.architectures import find_architecture
from htrun.launch.program import Launch
from htrun.runner.machine import facts_at_start
from htrun.runner.options import RunOptions
from htrun.sinks.output import Output
from htrun.sinks.summary import SummaryFile
from htrun.sinks.text import TextSink

if TYPE_CHECKING:
    from htrun.events.clock import Clock
    from htrun.events.clock_readings import ClockReading
    from htrun.events.definitions import Definition
    from htrun.events.named import NamedEvents
    from htrun.events.records import Events
    from htrun.events.shapes import Shapes
    from htrun.events.stream import Stream


class Outputs(NamedTuple):
    """The outputs of a run. ``sinks``: the outputs that take decoded events. ``programs``: the files that are executed
    first: the program, and its emulator."""

    sinks: Sequence[Sink]
    summary: SummaryFile | None
    trace: Path | None
    num_args: int
    facts: Mapping[str, str | int]
    emulator: str | None
    tracer_events: Sequence[Definition]
    shapes: RunShapes
    programs: Sequence[str]

    @classmethod
    def open(cls, options: RunOptions, launch: Launch) -> Outputs:
        """Open all outputs that ``options`` name. Raises `HtrunError` for the first output that can't be written."""
        facts = _facts(options, launch)
        named = _named_events(options)
        if options.force:
            _make_way(options)
        if named is not None:
            facts["named_events"] = named.text
        shapes = RunShapes(options.layout.num_args, named)
        sinks: list[Sink] = []
        if options.log_wanted:
            output = Output.open(options.log) if options.log else Output.standard_error()
            lines = _LogLines(shapes, decode=options.decode)
            sinks.append(TextSink(output, lines, decodes=options.decode))
        sinks += _other_formats(options, named, facts, shapes)
        summary = SummaryFile(options.summary) if options.summary is not None else None
        if options.trace is not None:
            from htrun.ctf.writer import make_directory

            make_directory(options.trace)
        num_args = options.layout.num_args
        programs = (launch.executable, launch.program)
        return cls(
            sinks, summary, options.trace, num_args, facts, launch.emulator, options.tracer_events, shapes, programs
        )

    def packet_sink(self, clock: Clock, begin: ClockReading | None, warnings: Warnings) -> PacketSink | None:
        """The native trace; None if the user has not requested one. Its modules are imported here, when the program is
        already running. ``begin``: the clocks at the begin of the run."""
        if self.trace is None:
            return None
        from htrun.ctf.writer import CtfTrace
        from htrun.runner.machine import machine_facts

        try:
            facts = {**self.facts, **machine_facts(clock.source)}
            if self.emulator:
                facts["emulator_version"] = _version(self.emulator)
            return CtfTrace.create(self.trace, self.num_args, clock, facts, self.tracer_events, begin)
        except HtrunError as error:
            warnings.warn(Kind.SINK, self.trace, str(error))
            return None

    def close(self, warnings: Warnings) -> None:
        """Close the sinks of a run that had no events."""
        for sink in self.sinks:
            try:
                sink.close()
            except Exception as error:
                warnings.warn(Kind.SINK, sink, failure_of(sink, error))

    def write_summary(self, account: Mapping[str, Any], warnings: Warnings) -> None:
        """Write the summary, if it is wanted."""
        if self.summary is None:
            return
        try:
            self.summary.write(account)
        except HtrunError as error:
            warnings.warn(Kind.SINK, self.summary.path, str(error))


def _make_way(options: RunOptions) -> None:
    """Remove existing traces that ``options`` would replace. Raises `HtrunError`."""
    from htrun.sinks.replace import make_way

    for path in [*([options.trace] if options.trace is not None else []), *(path for path, _ in options.outputs)]:
        make_way(path)


class RunShapes:
    """The shapes of the events, which all sinks of a run share. The modules for this are imported when they are needed,
    for the log at the first event, when the program is already running."""

    def __init__(self, num_args: int, named: NamedEvents | None) -> None:
        self._num_args = num_args
        self._named = named
        self._shapes: Shapes | None = None

    def get(self) -> Shapes:
        """The shapes."""
        if self._shapes is None:
            from htrun.events.shapes import Shapes

            self._shapes = Shapes(self._num_args, self._named)
        return self._shapes


class _LogLines:
    """Formats the lines of the log. The modules for this are imported at the first event, when the program is already
    running."""

    def __init__(self, shapes: RunShapes, *, decode: bool) -> None:
        self._decode = decode
        self._shapes = shapes

    def __call__(self, events: Events, streams: Sequence[Stream]) -> bytes:
        """The log lines of ``events``."""
        from htrun.sinks.log import format_lines

        return format_lines(events, streams, self._shapes.get(), decode=self._decode)


def _named_events(options: RunOptions) -> NamedEvents | None:
    """The events that the user has named. Raises `HtrunError` if they need more arguments than the channel has."""
    if options.events is None:
        return None
    from htrun.events.named import NamedEvents

    named = NamedEvents.load(options.events)
    if named.num_args > options.layout.num_args:
        raise HtrunError(
            f"{options.events}: its events need {named.num_args} arguments, and the channel has "
            f"{options.layout.num_args}; try: --hypertrace PATH,args={named.num_args}"
        )
    return named


def _other_formats(
    options: RunOptions, named: NamedEvents | None, environment: Mapping[str, str | int], shapes: RunShapes
) -> Sequence[Sink]:
    """The sinks of all formats except the native format. Raises `HtrunError`."""
    if not options.outputs:
        return ()
    from htrun.sinks.facts import TraceFacts
    from htrun.sinks.registry import by_name

    host = str(environment["hostname"])
    kinds = (HYPERTRACE, *options.tracer_events)
    facts = TraceFacts(options.layout.num_args, named, time.time_ns(), host, environment, kinds, decode=options.decode)
    facts.share(shapes.get())
    return [by_name(name).open(path, facts) for path, name in options.outputs]


def _version(emulator: str) -> str:
    """The version of an emulator: the first line that it prints with ``--version``."""
    import subprocess

    try:
        said = subprocess.run([emulator, "--version"], capture_output=True, text=True, timeout=5, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return said.partition("\n")[0]


def _facts(options: RunOptions, launch: Launch) -> dict[str, str | int]:
    """The facts about the run that the trace contains."""
    system = os.uname()
    guest = find_architecture(launch.guest) if launch.guest is not None else None
    return {
        "emulator": launch.emulator or "",
        "guest_architecture": guest.name if guest is not None else "",
        "tracer_name": "htrun",
        "htrun_version": __version__,
        "command": shlex.join(options.program),
        "hostname": system.nodename,
        "sysname": system.sysname,
        "kernel_release": system.release,
        "machine": system.machine,
        "num_args": options.layout.num_args,
        "timestamp": options.timestamp.value,
        **facts_at_start(options.program, options.processors),
    }
