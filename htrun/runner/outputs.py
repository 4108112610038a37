"""A run's outputs: opened before the program is started, so that a bad one is said at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from htrun.errors import HtrunError
from htrun.events.sink import PacketSink, Sink, SinkError
from htrun.events.warnings import Kind, Warnings
from htrun.runner.options import RunOptions
from htrun.sinks import summary
from htrun.sinks.log import LogSink
from htrun.sinks.output import Output

if TYPE_CHECKING:
    from htrun.events.clock import Clock


@dataclass(frozen=True, slots=True)
class Outputs:
    """What a run writes. ``sinks`` take decoded events."""

    sinks: Sequence[Sink]
    summary: Path | None

    @classmethod
    def open(cls, options: RunOptions) -> Outputs:
        """Open everything ``options`` name. Raises `HtrunError` for the first that can't be written."""
        sinks: list[Sink] = []
        if options.log_wanted:
            sinks.append(LogSink(Output.open(options.log) if options.log else Output.standard_error()))
        if options.summary is not None:
            summary.check(options.summary)
        return cls(sinks, options.summary)

    def packet_sink(self, clock: Clock) -> PacketSink | None:
        """The native trace, if one is wanted."""
        return None

    def close(self, warnings: Warnings) -> None:
        """Close sinks that never got an event."""
        for sink in self.sinks:
            try:
                sink.close()
            except SinkError as error:
                warnings.warn(Kind.SINK, sink, str(error))

    def write_summary(self, account: Mapping[str, Any], warnings: Warnings) -> None:
        """Write the summary, if one is wanted."""
        if self.summary is None:
            return
        try:
            summary.write(self.summary, account)
        except HtrunError as error:
            warnings.warn(Kind.SINK, self.summary, str(error))
