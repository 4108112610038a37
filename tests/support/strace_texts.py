"""What strace and htrun show of the texts that system calls point to, in one form that can be compared.

Both write C strings; strace writes a call in one line, or in two if another thread comes between.
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
"""Names of gcc's temporary files, new in each run."""
_WORDS = 32
"""Characters of each word of a command line that strace shows."""

Texts = list[list[tuple[str, ...]]]
"""The calls of each thread, in an order that does not depend on timing: a name, then strings as in C."""


def of_strace(command: Sequence[str], calls: Iterable[str], log: Path, directory: Path) -> Texts:
    """What strace shows of ``calls`` of ``command``, run in ``directory``; its log is left in ``log``."""
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
    """The same from a log that htrun has written with --decode."""
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
