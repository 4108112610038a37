"""``hypertrace header``: generates code that emits the events named in a TOML file, so that source and trace use the
same names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from htrun.commands.input_files import input_path
from htrun.emitters.registry import LANGUAGES
from htrun.errors import HtrunError
from htrun.reports.output import write_or_show

if TYPE_CHECKING:
    import argparse


class HeaderCommand:
    """Generate code that emits named events: a function for each event."""

    examples = """
For C, header generates a header for C99 and C++. It has a function for each event, which takes the event's index (a
slot of the channel) and its arguments. For other languages, the code also has a type for each span, which ends with its
scope, and threads get their indexes from the library in guest/. The code contains the definitions of the events. htrun
finds them in the running program, so a run needs no --events.

examples:
  hypertrace header events.toml > events.h
  hypertrace header events.toml -o events.h --prefix app_
  hypertrace header --lang c++ events.toml -o events.hpp
"""

    def prepare_parser(self, parser: argparse.ArgumentParser) -> None:
        """Add the arguments: FILE, the output, the language and the prefix."""
        parser.add_argument("events", type=input_path, metavar="FILE", help="named events (TOML)")
        parser.add_argument(
            "-o", "--output", default="-", metavar="HEADER", help="the file to write (default: standard output)"
        )
        parser.add_argument("--lang", choices=sorted(LANGUAGES), default="c", help="the language (default: c)")
        parser.add_argument(
            "--prefix",
            default="trace_",
            help="prefix for the names of functions (default: trace_). In languages other than C, it is the name of "
            "the namespace, package or class, without the _ at the end",
        )

    def run(self, arguments: argparse.Namespace) -> int:
        """Write the code; returns 0. Raises `HtrunError`."""
        from htrun.events.named import NamedEvents

        if not re.fullmatch(r"[A-Za-z_]\w*", arguments.prefix, re.ASCII):
            raise HtrunError(f"--prefix {arguments.prefix!r} is not the beginning of a C name")
        names = NamedEvents.load(arguments.events)
        text = LANGUAGES[arguments.lang].generate()(names, arguments.prefix, arguments.events.name)
        write_or_show(arguments.output, text)
        return 0
