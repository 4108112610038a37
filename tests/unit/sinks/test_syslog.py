"""Messages to the system's log, received by a socket in its place."""

from __future__ import annotations

import re
import socket
import time
from pathlib import Path

import pytest

from htrun.errors import HtrunError
from htrun.events.sink import SinkError
from htrun.sinks.facts import TraceFacts
from htrun.sinks.syslog import open_sink
from tests.support.batches import STREAMS, Row, batch

EVENT = Row(1_700_000_000 * 10**9, 1, 5, 0, (9, 0, 0, 0))
LINE = "12@1700000000.000000:guest_hypertrace cpu=0x1  index=5 arg1=0x0000000000000009"


def test_each_event_is_a_message(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        sink = open_sink(tmp_path / "log", TraceFacts(1))
        sink.write(batch([EVENT, EVENT]), STREAMS)
        sink.flush()
        sink.close()
        messages = [log.recv(4096).decode() for _ in range(2)]
    moment = time.localtime(1_700_000_000)
    assert messages[0] == messages[1]
    parts = re.fullmatch(r"<14>(\w{3} [ \d]\d \d\d:\d\d:\d\d) htrun\[12\]: (.*)", messages[0])
    assert parts is not None
    assert time.strptime(parts[1], "%b %d %H:%M:%S")[1:6] == moment[1:6]
    assert parts[2] == LINE


def test_a_log_that_is_a_stream_gets_lines(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as log:
        log.bind(str(tmp_path / "log"))
        log.listen()
        sink = open_sink(tmp_path / "log", TraceFacts(1))
        connection, _ = log.accept()
        sink.write(batch([EVENT, EVENT]), STREAMS)
        sink.close()
        with connection, connection.makefile() as lines:
            assert [line.rstrip("\n").partition("]: ")[2] for line in lines] == [LINE, LINE]


def test_a_log_that_goes_away_is_a_failure_of_the_sink(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(tmp_path / "log"))
        sink = open_sink(tmp_path / "log", TraceFacts(1))
    with pytest.raises(SinkError, match="log: Connection refused"):
        sink.write(batch([EVENT]), STREAMS)
    sink.close()


def test_where_there_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(HtrunError, match="No such file or directory; the usual path is /dev/log"):
        open_sink(tmp_path / "log", TraceFacts(1))
