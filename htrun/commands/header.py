"""``hypertrace header``: generates code that emits the events named in a TOML file, so that source and trace use the
same names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.errors import HtrunError
from htrun.reports.output import show

if TYPE_CHECKING:
    import argparse


class HeaderCommand:
    """Generate a C header with an inline function for each named event."""

    examples = """
Each function takes the event's index (a slot of the channel) and its arguments, stores them, and emits the event. The
header needs qemu-hypertrace.h, and is for C99 and C++. It also contains the definitions, which htrun finds in the
compiled program: a run needs no --events.

examples:
  hypertrace header events.toml > events.h
  hypertrace header events.toml -o events.h --prefix app_
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: FILE, HEADER and the prefix."""
        parser.add_argument("events", type=Path, metavar="FILE", help="named events (TOML)")
        parser.add_argument("-o", "--output", type=Path, metavar="HEADER", help="default: standard output")
        parser.add_argument("--prefix", default="trace_", help="prefix of the functions' names (default: trace_)")

    def run(self, arguments: argparse.Namespace) -> int:
        """Write the header; returns 0. Raises `HtrunError`."""
        from htrun.emitters.c import c_header
        from htrun.events.named import NamedEvents

        if not re.fullmatch(r"[A-Za-z_]\w*", arguments.prefix, re.ASCII):
            raise HtrunError(f"--prefix {arguments.prefix!r} is not the beginning of a C name")
        names = NamedEvents.load(arguments.events)
        text = c_header(names, arguments.prefix, arguments.events.name)
        if arguments.output is None:
            show(text)
            return 0
        try:
            arguments.output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise HtrunError(f"cannot write {arguments.output}: {error.strerror}") from error
        return 0
