"""Events that are written to rings of the channel (--via): exact and in order, and they never stop the program."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

from htrun import open as open_trace
from tests.integration.test_tracer_robustness import unprivileged
from tests.support.killed_guest import killed_while_it_emits
from tests.support.run import HTRUN, SECONDS, Htrun, LogEvent, Result
from tests.support.targets import AARCH64, I686, MIPS, NATIVE, S390X, STATIC, Target
from tests.support.toolchain import Toolchain

GUESTS = Path(__file__).parent / "guests"
MIX = 0x9E3779B97F4A7C15
WORD = (1 << 64) - 1
AUTO, RING = ("--via", "auto"), ("--via", "ring")


def by_emitter(events: list[LogEvent]) -> dict[int, list[LogEvent]]:
    """The events of each emitter, after a check of the contents of each event."""
    emitters = defaultdict(list)
    for event in events:
        who, number, _, check = event.args
        assert check == ((who << 32 ^ number) * MIX) & WORD
        emitters[who].append(event)
    return emitters


def check_exact(result: Result, expected: dict[int, int]) -> dict[int, list[LogEvent]]:
    """Check that each emitter has exactly the events 0 to count - 1, in order."""
    emitters = by_emitter(result.check().events)
    assert {who: [event.args[1] for event in events] for who, events in emitters.items()} == {
        who: list(range(count)) for who, count in expected.items()
    }
    return emitters


def check_untouched(result: Result) -> None:
    """Check that every event was recorded by a ring."""
    assert result.stderr == ""
    assert result.summary["traps"] == 0
    assert result.summary["sites"] == []
    assert result.summary["ring_events"] == result.summary["kinds"]["guest_hypertrace"]


def check_emitters(result: Result) -> None:
    """Check that each emitter is one thread of one process, and has its events in order, starting with 0. Check that
    every event was recorded by a ring."""
    for events in by_emitter(result.check().events).values():
        assert [event.args[1] for event in events] == list(range(len(events)))
        assert len({(event.tid, event.args[2]) for event in events}) == 1, "one thread of one process"
    assert result.summary["events"] > 0
    check_untouched(result)


@pytest.mark.parametrize("target", [NATIVE, STATIC, I686], ids=lambda target: target.name)
def test_threads(target: Target, toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c", target)
    result = htrun.run(program, "threads", "20", "5000", options=AUTO)
    emitters = check_exact(result, dict.fromkeys(range(20), 5000))
    check_untouched(result)
    assert all(len({(event.tid, event.cpu) for event in events}) == 1 for events in emitters.values())
    assert {event.cpu for event in result.events} == set(range(1, 21))


def test_thread_names_and_numbers(toolchain: Toolchain, htrun: Htrun) -> None:
    program, trace = toolchain.compile(GUESTS / "ring_emitters.c"), htrun.directory / "trace"
    htrun.run(program, "threads", "5", "100", options=(*AUTO, "-o", trace)).check()
    streams = open_trace(trace).streams
    assert {(stream.comm, stream.vcpu) for stream in streams} == {("emitter", number) for number in range(1, 6)}
    assert len({stream.pid for stream in streams}) == 1


@pytest.mark.parametrize("target", [AARCH64, S390X, MIPS], ids=lambda target: target.name)
def test_foreign_programs(target: Target, toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c", target)
    result = htrun.run(program, "threads", "4", "2000", options=RING)
    check_exact(result, dict.fromkeys(range(4), 2000))
    check_untouched(result)


def test_foreign_programs_store_if_rings_are_for_native_ones(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c", AARCH64)
    result = htrun.run(program, "threads", "4", "200", options=AUTO)
    check_exact(result, dict.fromkeys(range(4), 200))
    assert result.summary["traps"] > 0
    assert result.summary["ring_events"] == 0


def test_times_of_native_and_foreign_clocks_agree(toolchain: Toolchain, htrun: Htrun) -> None:
    """One program starts the other, and both print the time."""
    native = toolchain.compile_text(
        """
#include "exact_events.h"

int main(int argc, char **argv)
{
    start_events();
    emit_in(1, 1, 0);
    pid_t child = fork();
    if (child == 0) {
        execv(argv[argc - argc + 1], argv + 1);
        _exit(99);
    }
    int status;
    check(waitpid(child, &status, 0) == child && status == 0, "child");
    emit_in(1, 1, 1);
    return 0;
}
""",
        "between",
        flags=(f"-I{GUESTS}",),
    )
    foreign = toolchain.compile(GUESTS / "ring_emitters.c", AARCH64)
    result = htrun.run(native, foreign, "threads", "1", "500", options=RING)
    check_untouched(result.check())
    assert [event.args[:2] for event in result.events] == [(1, 0), *((0, number) for number in range(500)), (1, 1)]


@pytest.mark.parametrize("way", ["forks", "raw-forks"])
def test_forks(way: str, toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    result = htrun.run(program, way, "20", "500", options=AUTO)
    emitters = check_exact(result, {0: 20 * 500, **dict.fromkeys(range(1, 21), 500)})
    check_untouched(result)
    for events in emitters.values():
        assert {(event.tid, event.cpu) for event in events} == {(events[0].args[2], 0)}


def test_execs(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    result = htrun.run(program, "execs", "8", "300", options=AUTO)
    check_exact(result, dict.fromkeys(range(1, 9), 300))
    check_untouched(result)
    assert len({event.tid for event in result.events}) == 1


def test_exec_of_another_thread(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "exact_exec.c")
    result = htrun.run(program, options=AUTO)
    check_exact(result, {10 * image + who: 50 for image in range(9) for who in range(4)} | {90: 50})
    check_untouched(result)


@pytest.mark.parametrize("guest", ["exact_threads", "exact_tree", "exact_fork_in_thread", "exact_spawn"])
def test_processes_and_threads(guest: str, toolchain: Toolchain, htrun: Htrun) -> None:
    check_emitters(htrun.run(toolchain.compile(GUESTS / f"{guest}.c"), options=AUTO))


def test_vforks(toolchain: Toolchain, htrun: Htrun) -> None:
    """A child of vfork uses its parent's memory: its events are recorded as events of its parent, or as stores."""
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    result = htrun.run(program, "vforks", "30", options=AUTO)
    check_exact(result, {0: 300, 1: 90})


@pytest.mark.parametrize("count", [100, pytest.param(5000, marks=pytest.mark.heavy("5,000 threads are created"))])
def test_rings_are_used_again(count: int, toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    result = htrun.run(program, "churn", str(count), "3", options=AUTO)
    events = result.check().events
    by_thread = defaultdict(list)
    for event in events:
        by_thread[event.tid].append(event)
    assert len(events) == 3 * count == 3 * len(by_thread)
    assert all([event.args[1] for event in each] == [0, 1, 2] for each in by_thread.values())


def test_handlers(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    result = htrun.run(program, "handlers", "50000", "50", "0", options=AUTO)
    done, handled = map(int, result.stdout.split())
    check_exact(result, {0: done, 1: handled})
    times = [event.time for event in result.events]
    assert times == sorted(times)


def test_handlers_that_leave_by_a_jump(toolchain: Toolchain, htrun: Htrun) -> None:
    """An event that a handler has left may or may not be recorded. All other events are recorded."""
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    result = htrun.run(program, "handlers", "50000", "50", "1", options=AUTO).check()
    emitters = by_emitter(result.events)
    done, handled = map(int, result.stdout.split())
    numbers = [event.args[1] for event in emitters[0]]
    assert numbers == sorted(numbers)
    assert set(numbers) <= set(range(done + 1))
    assert done - len(set(numbers)) <= handled
    assert [event.args[1] for event in emitters[1]] == list(range(handled))


def test_handlers_that_emit_more_than_a_ring_has(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    result = htrun.run(program, "nested", "3000", options=(*AUTO, "--ring-size", "64K"))
    done, handled = map(int, result.stdout.split())
    emitters = by_emitter(result.check().events)
    assert [event.args[1] for event in emitters[1]] == list(range(handled))
    assert sorted(event.args[1] for event in emitters[0]) == list(range(done))


@pytest.mark.parametrize("events", [1280, 3000])
def test_a_handler_fills_the_ring_after_each_instruction_of_an_event(
    toolchain: Toolchain, htrun: Htrun, events: int
) -> None:
    """A ring of 64 KiB has 1,280 records. Neither the handler's events nor the interrupted event are lost."""
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    result = htrun.run(program, "stepped", "150", str(events), "0", options=(*AUTO, "--ring-size", "64K"))
    interrupted, handled = map(int, result.stdout.split())
    assert interrupted > 50
    assert handled == interrupted * events
    emitters = by_emitter(result.check().events)
    assert [event.args[1] for event in emitters[1]] == list(range(handled))
    assert sorted(event.args[1] for event in emitters[0]) == list(range(150))


def test_stores_between_events_of_the_library(toolchain: Toolchain, htrun: Htrun) -> None:
    """The order is the thread's: an event by a ring, then a store with the same slot, and so on."""
    program = toolchain.compile_text(
        """
#include "exact_events.h"

static void *run(void *who)
{
    uint64_t slot = qemu_hypertrace_client();
    for (uint64_t number = 0; number < 20000; number++) {
        if (number % 7 < 3) {
            emit_in(slot, (uintptr_t)who, number);
        } else {
            uint64_t *data = qemu_hypertrace_data(slot);
            data[0] = (uintptr_t)who;
            data[1] = number;
            data[2] = (uint64_t)getpid();
            data[3] = ((uintptr_t)who << 32 ^ number) * UINT64_C(0x9e3779b97f4a7c15);
            __atomic_store_n(&qemu_hypertrace_control_[QEMU_HYPERTRACE_BIAS_], (uint32_t)slot, __ATOMIC_RELEASE);
        }
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[4];
    start_events();
    for (uintptr_t who = 1; who <= 4; who++)
        check(pthread_create(&threads[who - 1], NULL, run, (void *)who) == 0, "pthread_create");
    for (int i = 0; i < 4; i++)
        check(pthread_join(threads[i], NULL) == 0, "pthread_join");
    return 0;
}
""",
        "both_ways",
        flags=(f"-I{GUESTS}",),
    )
    trace = htrun.directory / "trace"
    result = htrun.run(program, options=(*AUTO, "-o", trace))
    emitters = check_exact(result, dict.fromkeys(range(1, 5), 20000))
    assert result.stderr == ""
    assert result.summary["ring_events"] == 4 * sum(number % 7 < 3 for number in range(20000))
    assert result.summary["traps"] > 0
    assert all(len({(event.tid, event.cpu) for event in events}) == 1 for events in emitters.values())
    recorded = open_trace(trace)
    assert len(recorded.streams) == 4
    orders = defaultdict(list)
    for event in recorded.to_numpy():
        orders[int(event["stream"])].append(int(event["args"][1]))
    assert list(orders.values()) == [list(range(20000))] * 4


def test_killed_while_it_emits(toolchain: Toolchain, htrun: Htrun) -> None:
    assert killed_while_it_emits(toolchain.compile(GUESTS / "exact_killed.c"), htrun, AUTO)


@pytest.mark.parametrize("overflow", ["drop", "overwrite"])
def test_lost_events_are_counted(overflow: str, toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    trace = htrun.directory / "trace"
    options = (*AUTO, "--overflow", overflow, "--ring-size", "64K", "-o", trace)
    result = htrun.run(program, "threads", "3", "200000", options=options)
    assert (result.status, result.stderr) == (0, "")
    emitters = by_emitter(result.events)
    for events in emitters.values():
        numbers = [event.args[1] for event in events]
        assert numbers == sorted(set(numbers))
        if overflow == "overwrite":
            assert numbers == list(range(200000 - len(numbers), 200000))
            assert len(numbers) > 1000
    assert result.summary["events"] == len(result.events)
    assert result.summary["lost"] + len(result.events) == 3 * 200000
    assert result.summary["traps"] == 0
    assert sum(open_trace(trace).discarded) == result.summary["lost"]


def test_more_threads_than_rings(toolchain: Toolchain, htrun: Htrun) -> None:
    """The rest store their events."""
    program = toolchain.compile(GUESTS / "many_threads.c")
    clients = ("--hypertrace", f"{htrun.channel},max-clients=2048")
    result = htrun.run(program, "1100", "10", options=(*AUTO, *clients))
    by_thread = defaultdict(list)
    for event in result.check().events:
        by_thread[event.tid].append(event.args[1])
    assert sorted(map(tuple, by_thread.values())) == [(0, 1, 2)] * 10 + [(0, 1, 2, 0, 1, 2)] * 1100
    assert result.stderr == ""
    assert result.summary["traps"] > 0


def test_summary_and_v_say_what_went_by_rings(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    result = htrun.run(program, "threads", "2", "10", options=(*AUTO, "-v"))
    assert result.stderr == "htrun: rings of the channel: events 20, without a trap\n"
    assert result.summary["ring_events"] == 20


def test_all_formats(toolchain: Toolchain, htrun: Htrun) -> None:
    program, directory = toolchain.compile(GUESTS / "ring_emitters.c"), htrun.directory
    outputs = [directory / f"trace.{suffix}" for suffix in ("jsonl", "csv", "pftrace")]
    options = [word for output in outputs for word in ("-o", output)]
    htrun.run(program, "threads", "2", "1000", options=(*AUTO, *options)).check()
    lines = [json.loads(line) for line in outputs[0].read_text().splitlines()]
    assert sum(line.get("event") == "guest_hypertrace" for line in lines) == 2000
    assert len(outputs[1].read_text().splitlines()) == 2001
    assert outputs[2].stat().st_size > 2000 * 16


SCRIBBLER = """
#include "exact_events.h"
#include <stdbool.h>
#include <sys/mman.h>

static uint64_t state = 88172645463325252u;

static uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* The ring of this process in the first mapping of rings. */
static volatile uint64_t *own_ring(uint64_t stride)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long low, high, offset;
        if (sscanf(line, "%lx-%lx rw-s %lx", &low, &high, &offset) == 3 && offset >= 1 << 20)
            for (; low < high; low += stride)
                if (*(volatile uint64_t *)low >> 32 == (uint64_t)getpid())
                    return (volatile uint64_t *)low;
    }
    check(0, "no ring");
    return NULL;
}

int main(int argc, char **argv)
{
    int gate[2];
    start_events();
    check(argc == 2 && pipe(gate) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        /* The first event takes a ring: not that of the parent, which nobody may use any more. */
        emit_in(1, 1, 0);
        check(write(gate[1], "", 1) == 1, "write");
        for (uint64_t number = 1; number < 20000; number++)
            emit_in(1, 1, number);
        _exit(0);
    }
    char byte;
    int status;
    emit_in(2, 2, 0);
    volatile uint64_t *ring = own_ring(strtoul(argv[1], NULL, 10));
    check(read(gate[0], &byte, 1) == 1, "read");
    while (waitpid(child, &status, WNOHANG) == 0) {
        /* Its owner and state, the numbers of its records, and what has no meaning; or a record. */
        static const int words[] = {0, 1, 2, 3, 8, 9, 10, 16, 24, 100};
        uint64_t value = any() % 3 == 0 ? any() : any() % 5000;
        if (any() % 2 == 0)
            ring[words[any() % 10]] = value;
        else
            ring[512 + any() % 6000] = value;
    }
    check(status == 0, "child");
    return 0;
}
"""


def test_program_that_writes_all_over_its_ring_harms_nobody(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile_text(SCRIBBLER, "scribbler", flags=(f"-I{GUESTS}",))
    trace = htrun.directory / "trace"
    options = (*AUTO, "--ring-size", "64K", "-o", trace)
    result = htrun.run(program, str(64 << 10), options=options)
    assert result.status == 0, result.stderr
    assert result.summary["failure"] is None
    assert set(result.summary["warnings"]) <= {"ring-damaged", "clock"}
    recorded = open_trace(trace)
    numbers = defaultdict(list)
    for event in recorded.to_numpy():
        numbers[recorded.streams[int(event["stream"])].pid].append(int(event["args"][1]))
    assert list(range(20000)) in numbers.values()


@pytest.mark.parametrize("case", ["locked", "locked_later", "limited_later"])
def test_locked_and_limited_memory(case: str, toolchain: Toolchain, htrun: Htrun) -> None:
    """All mapped memory is locked, but this is only a little more than the rings of the threads."""
    program = toolchain.compile(GUESTS / "locked_memory.c")
    alone = subprocess.run([program, case], capture_output=True, text=True, check=True).stdout.split()
    result = htrun.run(program, case, options=AUTO)
    check_exact(result, dict.fromkeys((*range(12), 100), 1000))
    check_untouched(result)
    locked, resident = (int(word) for word in result.stdout.split())
    most = (13 + 4) * (4 << 10)
    assert locked < int(alone[0]) + most
    assert resident < int(alone[1]) + most


def test_without_address_space_for_rings_there_are_none(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(GUESTS / "ring_emitters.c")
    limited = ["prlimit", f"--as={1 << 30}:{1 << 30}", *unprivileged()]
    command = [*limited, *htrun.command(*AUTO), str(program), "threads", "2", "10"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len((htrun.directory / "log").read_text().splitlines()) == 20
    command = [*limited, *htrun.command(*RING), "true"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 125
    assert re.fullmatch(r"htrun: --via ring needs \d+ MiB of address space; .*\n", done.stderr)


def test_native_programs_use_rings_unless_times_are_ordered(toolchain: Toolchain, tmp_path: Path) -> None:
    program, summary = toolchain.compile(GUESTS / "ring_emitters.c"), tmp_path / "summary.json"
    for options, by_rings in (((), True), (("--timestamp", "ordered"), False), (("--via", "store"), False)):
        command: list[str | Path] = [HTRUN, *options, "-D", tmp_path / "log", "--summary", summary, program]
        subprocess.run([*command, "threads", "2", "10"], check=True)
        account = json.loads(summary.read_text())
        assert (account["events"], account["ring_events"]) == (20, 20 if by_rings else 0)
        assert (account["traps"] == 0) is by_rings
