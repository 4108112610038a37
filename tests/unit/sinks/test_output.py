"""Writing to files, pipes and devices."""

from __future__ import annotations

import errno
import os
import select
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from htrun.errors import HtrunError
from htrun.events.sink import SinkError
from htrun.sinks.output import Output

LINES = b"".join(b"line %d %s\n" % (number, b"x" * (number % 90)) for number in range(5000))


def read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb") as file:
        return file.read()


def test_a_file_is_emptied_and_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old")
    output = Output.open(path)
    output.write_lines(LINES)
    with path.open("ab") as other:
        other.write(b"other\n")
    output.write_lines(LINES)
    output.close()
    output.close()
    assert path.read_bytes() == LINES + b"other\n" + LINES


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_our_own_standard_output_is_shared_not_opened_again(tmp_path: Path, name: str) -> None:
    """The content is kept, and output of this process and of others does not overlap, although the file was not opened
    for appending."""
    code = (
        "import os, sys; from pathlib import Path; from htrun.sinks.output import Output\n"
        f"output = Output.open(Path({name!r}))\n"
        "output.write(b'ours\\n'); os.write(1, b'theirs\\n'); output.write(b'ours\\n')"
    )
    with (tmp_path / "out").open("w") as out:
        out.write("before\n")
        out.flush()
        subprocess.run([sys.executable, "-c", code], stdout=out, check=True)
    assert (tmp_path / "out").read_text() == "before\nours\ntheirs\nours\n"


def test_standard_output_may_be_a_socket() -> None:
    ours, theirs = socket.socketpair()
    code = (
        "from pathlib import Path; from htrun.sinks.output import Output; "
        "Output.open(Path('/dev/stdout')).write_lines(b'hello\\n')"
    )
    subprocess.run([sys.executable, "-c", code], stdout=theirs.fileno(), check=True)
    theirs.close()
    assert ours.recv(100) == b"hello\n"
    ours.close()


@pytest.mark.parametrize("blocking", [True, False])
def test_a_slow_reader_gets_every_line_whole(blocking: bool) -> None:
    """This process and another process write lines to the same pipe, which is too small for all of them."""
    read, write = os.pipe()
    os.set_blocking(write, blocking)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(read_all(read)))
    reader.start()
    output, other = Output(os.dup(write), "pipe"), Output(write, "pipe")
    writer = threading.Thread(target=other.write_lines, args=(LINES.replace(b"line", b"other"),))
    writer.start()
    output.write_lines(LINES)
    writer.join()
    output.close()
    other.close()
    reader.join()
    lines = received[0].splitlines(keepends=True)
    assert b"".join(line for line in lines if line.startswith(b"line")) == LINES
    assert b"".join(line for line in lines if line.startswith(b"other")) == LINES.replace(b"line", b"other")
    assert len(lines) == 10_000


def test_a_line_longer_than_a_pipe_takes_at_once_is_still_written() -> None:
    read, write = os.pipe()
    output = Output(write, "pipe")
    long = b"x" * (select.PIPE_BUF + 10) + b"\n"
    output.write_lines(b"a\n" + long + b"b\n")
    output.close()
    assert read_all(read) == b"a\n" + long + b"b\n"


def test_a_closed_pipe_is_a_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    output = Output(write, "the pipe")
    with pytest.raises(SinkError, match=f"cannot write the pipe: {os.strerror(errno.EPIPE)}"):
        output.write_lines(b"a\n")
    output.close()


def test_a_full_disk_is_a_failure() -> None:
    output = Output.open(Path("/dev/full"))
    with pytest.raises(SinkError, match=f"cannot write /dev/full: {os.strerror(errno.ENOSPC)}"):
        output.write_lines(b"a\n")
    output.close()


def test_a_path_that_cannot_be_opened_is_said_at_once(tmp_path: Path) -> None:
    for path, reason in ((tmp_path, errno.EISDIR), (tmp_path / "no" / "log", errno.ENOENT), (Path(), errno.EISDIR)):
        with pytest.raises(HtrunError, match=os.strerror(reason)):
            Output.open(path)


def test_a_closed_standard_error_is_said_at_once() -> None:
    code = (
        "import os\nfrom htrun.sinks.output import Output\nfrom htrun.errors import HtrunError\nos.close(2)\n"
        "try: Output.standard_error()\nexcept HtrunError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "give -D FILE" in done.stdout
