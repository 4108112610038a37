"""The times of requests in a trace are those that the server itself has measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from scipy.stats import ks_2samp

from htrun import open as open_trace
from tests.support.run import Htrun
from tests.support.server_trace import SERVER
from tests.support.toolchain import Toolchain

REQUESTS = 200
OWN_CLOCK = """
#define _GNU_SOURCE
#include "server.h"
#include <stdio.h>
#include <time.h>

static uint64_t began[1000], ended[1000];

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* Read just before each of the two events, as the event's own clock is. */
#define trace_request_begin(index, number) (began[number] = now(), trace_request_begin(index, number))
#define trace_request_end(index, number) (ended[number] = now(), trace_request_end(index, number))
#include "server.c"

__attribute__((destructor)) static void report(void)
{
    for (uint64_t i = 0; i < queue.total; i++)
        fprintf(stderr, "%llu\\n", (unsigned long long)(ended[i] - began[i]));
}
"""


@pytest.mark.parametrize("options", [("--via", "auto"), ("--via", "auto", "--no-ptrace")], ids=["traced", "untraced"])
def test_request_times(options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    """The greatest distance of the two distributions (Kolmogorov, Smirnov) is below 0.05: at most ten of 200 requests
    may have been interrupted between the two readings."""
    events, trace = SERVER / "server.toml", tmp_path / "trace"
    command = [sys.executable, "-m", "htrun.commands.hypertrace", "header", str(events)]
    (tmp_path / "server.h").write_bytes(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    program = toolchain.compile_text(OWN_CLOCK, "server_with_clock", flags=(f"-I{tmp_path}", f"-I{SERVER}"))
    result = htrun.run(program, str(REQUESTS), options=(*options, "--events", events, "-o", trace))
    own = [int(line) for line in result.stderr.splitlines()]
    assert (result.status, result.summary["traps"], len(own)) == (0, 0, REQUESTS)
    spans = open_trace(trace).spans()
    rows = spans.to_numpy()
    recorded = [int(row["duration"]) for row in rows if spans.names[row["name"]] == "request"]
    assert len(recorded) == REQUESTS
    assert ks_2samp(own, recorded).statistic < 0.05
