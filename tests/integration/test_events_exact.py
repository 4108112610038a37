"""There is one event for each store, in the order of each thread and with the right values, for programs with all kinds
of threads and processes."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import pytest

from htrun import open as open_trace
from tests.support.killed_guest import killed_while_it_emits
from tests.support.run import Htrun, LogEvent
from tests.support.targets import I686, NATIVE, STATIC, Target
from tests.support.toolchain import Toolchain

_GUESTS = Path(__file__).parent / "guests"
_WORD = (1 << 64) - 1

EXPECTED = {
    "exact_threads": dict.fromkeys(range(1, 9), 1000),
    "exact_tree": dict.fromkeys(range(1, 51), 20),
    "exact_fork_in_thread": dict.fromkeys(range(1, 5), 125)
    | {who * 100 + child: 25 for who in range(1, 5) for child in range(1, 6)},
    "exact_spawn": {1: 15}
    | {100 + number: 10 for number in range(5)}
    | {kind + number: 30 for kind in (200, 300) for number in range(5)},
    "exact_exec": {10 * image + who: 50 for image in range(9) for who in range(4)} | {90: 50},
}
"""The number of events of each emitter of a guest."""

MODES = [(), ("--no-patch",)]


def _events_by_emitter(events: list[LogEvent]) -> dict[int, list[LogEvent]]:
    """The events of each emitter, after checking the values in each event."""
    emitters = defaultdict(list)
    for event in events:
        who, number, _, checksum = event.args
        assert checksum == ((who << 32 ^ number) * 0x9E3779B97F4A7C15) & _WORD
        emitters[who].append(event)
    return emitters


@pytest.mark.parametrize("target", [NATIVE, STATIC, I686], ids=lambda target: target.name)
@pytest.mark.parametrize("options", MODES, ids=["patched", "trapped"])
@pytest.mark.parametrize("guest", EXPECTED)
def test_exact(guest: str, options: tuple[str, ...], target: Target, toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(_GUESTS / f"{guest}.c", target)
    result = htrun.run(program, options=options).check()
    assert result.stderr == ""
    emitters = _events_by_emitter(result.events)
    assert {who: len(events) for who, events in emitters.items()} == EXPECTED[guest]
    for events in emitters.values():
        assert [event.args[1] for event in events] == list(range(len(events)))
        assert len({(event.tid, event.args[2]) for event in events}) == 1, "one thread of one process"


@pytest.mark.parametrize("guest", ["exact_threads", "exact_tree"])
@pytest.mark.parametrize("options", MODES, ids=["patched", "trapped"])
def test_log_is_in_time_order(guest: str, options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun) -> None:
    events = htrun.run(toolchain.compile(_GUESTS / f"{guest}.c"), options=options).check().events
    times = [event.time for event in events]
    assert times == sorted(times)


@pytest.mark.parametrize("options", MODES, ids=["patched", "trapped"])
def test_killed_in_the_middle(options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun) -> None:
    events = killed_while_it_emits(toolchain.compile(_GUESTS / "exact_killed.c"), htrun, options)
    assert list(_events_by_emitter(events)) == [1]
    assert not os.path.lexists(htrun.channel)


def test_children_outlive_the_first_process(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile_text(
        """
#include "exact_events.h"

int main(void)
{
    int gate[2];
    start_events();
    check(pipe(gate) == 0, "pipe");
    if (fork() == 0) {
        char byte;
        close(gate[1]);
        check(read(gate[0], &byte, 1) == 0, "read");
        emit_run(2, 100);
        _exit(3);
    }
    emit_run(1, 100);
    return 0;
}
""",
        "outliving",
        flags=(f"-I{_GUESTS}",),
    )
    emitters = _events_by_emitter(htrun.run(program).check().events)
    assert {who: len(events) for who, events in emitters.items()} == {1: 100, 2: 100}


@pytest.mark.parametrize("options", MODES, ids=["patched", "trapped"])
def test_children_killed_amid_events_when_the_first_process_is_gone(
    options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun
) -> None:
    """Whenever a child dies, even in the middle of a trap, the others continue. Its last event may be missing."""
    result = htrun.run(toolchain.compile(_GUESTS / "exact_killed_children.c"), options=options).check()
    assert result.stderr == ""
    emitters = _events_by_emitter(list(result.events))
    printed = [line.split() for line in result.stdout.splitlines()]
    emitted = {int(who): int(sure) for who, sure in printed}
    assert len(emitted) == 150
    for who, sure in emitted.items():
        assert sure <= len(emitters.get(who, ())) <= sure + 1


def test_threads_that_die_before_anybody_knows_them(toolchain: Toolchain, htrun: Htrun) -> None:
    """A process whose threads are not all reaped can neither exec nor end."""
    result = htrun.run(toolchain.compile(_GUESTS / "exact_killed_threads.c")).check()
    assert (result.stdout, result.stderr) == ("done\n", "")
    assert {who: len(events) for who, events in _events_by_emitter(list(result.events)).items()} == dict.fromkeys(
        range(1, 11), 1
    )


ONE_AFTER_ANOTHER = """
#define _GNU_SOURCE
#include <pthread.h>
#include <qemu-hypertrace.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 300 };

static void emit(uint64_t who)
{
    /* Children run beside the threads of their parent, so each has a slot of its own. */
    uint64_t index = who > THREADS ? who : 0;

    qemu_hypertrace_data(index)[0] = who;
    qemu_hypertrace(index);
}

static void *named(void *who)
{
    char name[16];
    /* Every third says nothing. */
    if ((uintptr_t)who % 3 == 0)
        return NULL;
    snprintf(name, sizeof name, "number %d", (int)(uintptr_t)who);
    pthread_setname_np(pthread_self(), name);
    emit((uintptr_t)who);
    return NULL;
}

int main(void)
{
    if (qemu_hypertrace_init(NULL) != 0)
        return 1;
    for (uintptr_t who = 1; who <= THREADS; who++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, named, (void *)who) != 0 || pthread_join(thread, NULL) != 0)
            return 2;
        if (who % 30 == 0 && fork() == 0) {
            named((void *)(THREADS + who + 1));
            _exit(0);
        }
    }
    while (wait(NULL) > 0)
        ;
    return 0;
}
"""


def test_threads_have_a_ring_before_their_first_event(toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    """This is a program in which most threads emit. The recorded name is the name that a thread has given itself, even
    if it has exited before its event is read."""
    program = toolchain.compile_text(ONE_AFTER_ANOTHER, "one_after_another")
    result = htrun.run(program, options=("-o", str(tmp_path / "trace"))).check()
    numbers = [who for who in range(1, 301) if who % 3] + [301 + who for who in range(30, 301, 30)]
    told = {event.args[0]: event.stream.comm for event in open_trace(tmp_path / "trace")}
    assert told == {who: f"number {who}" for who in numbers}
    assert result.summary["events"] == len(numbers)
    # The child's copy of the code traps, too.
    assert result.summary["traps"] < 60


ONLY_CHILDREN = """
#include <qemu-hypertrace.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    if (qemu_hypertrace_init(NULL) != 0)
        return 1;
    qemu_hypertrace_data(0)[0] = 0;
    qemu_hypertrace(0);
    for (uint64_t who = 1; who <= 200; who++) {
        if (fork() == 0) {
            qemu_hypertrace_data(0)[0] = who;
            qemu_hypertrace(0);
            _exit(0);
        }
        wait(NULL);
    }
    qemu_hypertrace_data(0)[0] = 201;
    qemu_hypertrace(0);
    return 0;
}
"""


def test_children_inherit_what_earlier_children_had_patched(toolchain: Toolchain, htrun: Htrun) -> None:
    """The program itself never reaches the site at which its children emit."""
    program = toolchain.compile_text(ONLY_CHILDREN, "only_children")
    result = htrun.run(program).check()
    assert sorted(event.args[0] for event in result.events) == list(range(202))
    assert len({event.tid for event in result.events}) == 201
    assert result.summary["traps"] < 100
