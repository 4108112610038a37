"""The strings that system calls point to, as strace and htrun print them, converted to one form that can be compared.

Both print C strings. strace prints a call in one line, or in two lines if another thread's call comes in between.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

_STRACE_LINE = re.compile(r"(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<name>\w+)\()(?P<rest>.*)")
_HTRUN_LINE = re.compile(r"(?P<thread>\d+)@[\d.]+:guest_user_syscall(?P<ret>_ret)? cpu=0x0  (?P<name>\w+)(?P<rest>.*)")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"(?:\.\.\.)?')
_MADE_UP = re.compile(rf"{re.escape(tempfile.gettempdir())}/cc\w{{6}}")
"""The names of gcc's temporary files, which differ from run to run."""
_WORDS = 32
"""The maximum number of characters that strace prints of each argument of a program."""

Texts = list[list[tuple[str, ...]]]
"""The calls of each thread: the name of the call, and its strings in C notation. The threads are sorted by their calls,
so that their order does not depend on timing."""


def of_strace(command: Sequence[str], calls: Iterable[str], log: Path, directory: Path) -> Texts:
    """Run ``command`` in ``directory`` under strace, which writes its log to ``log``. Returns the strings of
    ``calls``."""
    wanted = ",".join(calls)
    words = ["strace", "-f", "-qq", "-e", "signal=none", "-e", f"trace={wanted}", "-o", str(log), *command]
    subprocess.run(words, check=True, capture_output=True, cwd=directory, timeout=240)
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for line in log.read_text().splitlines():
        match = _STRACE_LINE.fullmatch(line)
        if match is None:
            continue
        strings = _strings(match["name"] or match["resumed"], match["rest"])
        calls_of_thread = found[match["thread"]]
        if match["resumed"]:
            calls_of_thread[-1] += strings
        else:
            calls_of_thread.append((match["name"], *strings))
    return sorted(found.values())


def of_log(text: str) -> Texts:
    """The strings of the calls in ``text``, a log that htrun has written with --decode."""
    found: dict[str, list[tuple[str, ...]]] = defaultdict(list)
    for line in text.splitlines():
        match = _HTRUN_LINE.fullmatch(line)
        assert match is not None, line
        strings = _strings(match["name"], match["rest"])
        if match["ret"]:
            found[match["thread"]][-1] += strings
        else:
            found[match["thread"]].append((match["name"], *strings))
    return sorted(found.values())


def _strings(name: str, text: str) -> tuple[str, ...]:
    strings = [_MADE_UP.sub("/tmp/cc", string) for string in _STRING.findall(text)]
    if name == "execve":
        return tuple(string.removesuffix("...")[1:-1][:_WORDS] for string in strings)
    return tuple(strings)
