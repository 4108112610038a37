"""The output formats, by name and by suffix. The module of a format is imported when the format is used."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

from htrun.errors import HtrunError
from htrun.sinks.output import STANDARD_OUTPUT

if TYPE_CHECKING:
    from htrun.events.sink import Sink
    from htrun.sinks.facts import TraceFacts

_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9_-]{1,11}")
"""A suffix that looks like the suffix of a format. The end of a version (``trace-9.1``) or of a directory's name
(``trace.d``) does not match."""

CTF = "ctf"
"""The name of the native format. This format has no `Sink`, because it takes records as they are in a ring
(`htrun.ctf.writer`)."""


SIMPLE = "simple"


class Format(NamedTuple):
    """One format. ``suffixes``: the suffixes for which this format is the default. ``summary``: a short description for
    a list of formats.

    ``module``: the module that contains the format's ``open_sink(path, facts)``; empty for `CTF`. ``extra``: the
    optional extra of htrun's package that the format needs.
    """

    name: str
    summary: str
    suffixes: tuple[str, ...] = ()
    module: str = ""
    extra: str | None = None

    def open(self, path: Path, facts: TraceFacts) -> Sink:
        """A sink that writes to ``path``. Raises `HtrunError`."""
        return cast("Sink", import_module(self.module).open_sink(path, facts))


FORMATS = (
    Format(CTF, "native trace: a directory in CTF 1.8"),
    Format("log", "lines of text as QEMU's log", (".log", ".txt"), "htrun.sinks.log"),
    Format(SIMPLE, "QEMU's binary trace, version 4", (".simple",), "htrun.sinks.simple"),
    Format("perfetto", "for ui.perfetto.dev", (".pftrace", ".perfetto-trace", ".perfetto"), "htrun.sinks.perfetto"),
    Format("chrome", "Chrome's trace events, JSON", (".json", ".chrome"), "htrun.sinks.chrome"),
    Format("jsonl", "an object of JSON on each line", (".jsonl", ".ndjson"), "htrun.sinks.jsonl"),
    Format("csv", "comma-separated values, RFC 4180", (".csv",), "htrun.sinks.csv"),
    Format("parquet", "a file, or a directory partitioned by run", (".parquet",), "htrun.sinks.parquet", "arrow"),
    Format("ftrace", "markers in the host kernel's trace", ("/trace_marker",), "htrun.sinks.ftrace"),
    Format("syslog", "messages to the system's log", ("/dev/log",), "htrun.sinks.syslog"),
)


def by_name(name: str) -> Format:
    """The format ``name``. Raises `HtrunError`."""
    for known in FORMATS:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in FORMATS)
    raise HtrunError(f"unknown format {name!r}; choose from {names}")


def by_suffix(path: Path) -> Format | None:
    """The format for the suffix of ``path``; None if there is no such format."""
    return next((known for known in FORMATS if known.suffixes and str(path).endswith(known.suffixes)), None)


def choose(path: Path, name: str | None) -> Format:
    """The format ``name``. If ``name`` is None, this is the format for the suffix of ``path``, or the native format if
    ``path`` has no suffix that looks like that of a format.

    Raises `HtrunError` if no format has the suffix, since ``-o trace.xml`` is not meant to create a directory.
    """
    if name is not None:
        return by_name(name)
    found = by_suffix(path)
    if found is not None:
        return found
    if path == STANDARD_OUTPUT:
        raise HtrunError("a trace on standard output needs a --format, such as --format jsonl")
    if _SUFFIX.fullmatch(path.suffix):
        suffixes = ", ".join(each for known in FORMATS for each in known.suffixes if not each.startswith("/"))
        raise HtrunError(
            f"{path}: no format has the suffix {path.suffix}; give --format ({CTF} for a directory in the native "
            f"format), or one of {suffixes}"
        )
    return by_name(CTF)
