"""Events that the guest library writes to rings itself: exactly once and in order, for any behaviour of the program.
There is no htrun here: the channel is a file, and the test reads the rings while the guest runs.
"""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support import ring_host
from tests.support.requirements import require_tool
from tests.support.ring_host import RingHost
from tests.support.targets import AARCH64, FOREIGN_TARGETS, I686, MIPS, NATIVE, S390X, STATIC, Target
from tests.support.toolchain import GUEST_LIBRARY, Toolchain

GUESTS = Path(__file__).parent / "guests"
TIMES = int(os.environ.get("HYPERTRACE_RING_TIMES", "1"))
"""The number of repetitions of tests that depend on chance."""
MIX = 0x9E3779B97F4A7C15
MASK = (1 << 64) - 1


def emitters(toolchain: Toolchain, target: Target, way: str, *numbers: int) -> list[str | Path]:
    """The command line of the guest ``ring_emitters``."""
    program = toolchain.compile(GUESTS / "ring_emitters.c", target)
    emulator: list[str | Path] = []
    if target.emulator:
        emulator = [require_tool(target.emulator, "qemu-user"), "-L", target.sysroot or "/"]
    return [*emulator, program, way, *map(str, numbers)]


def check_records(records: NDArray[np.void]) -> None:
    """Every event is complete: its words belong together."""
    who, number, check = (records["args"][:, word].astype(np.uint64) for word in (0, 1, 3))
    assert np.array_equal(check, (who << np.uint64(32) ^ number) * np.uint64(MIX))
    assert np.array_equal(records["index"].astype(np.uint64), who)


def check_times(host: RingHost) -> None:
    """No record of a ring is earlier than the one before it."""
    for claim in host.claims:
        times = claim.records()["time"].astype(np.uint64)
        assert np.all(times[1:] >= times[:-1])


def numbers(records: NDArray[np.void], who: int) -> list[int]:
    """The numbers of the events of ``who``, in the order of the records."""
    found: list[int] = records["args"][records["args"][:, 0] == who][:, 1].tolist()
    return found


def check_all(host: RingHost, expected: dict[int, int], *, interrupted: bool = False) -> None:
    """Check that each emitter has exactly the events 0 to its count - 1, in order.

    ``interrupted``: whether signal handlers emit. If handlers fill the ring while they interrupt one event, the reader
    passes over that event's record, and the event gets another record (guest/user/emit.c).
    """
    records = host.records()
    check_records(records)
    check_times(host)
    assert interrupted or host.passed_over == 0
    assert host.dropped == 0
    assert {who: numbers(records, who) for who in expected} == {
        who: list(range(count)) for who, count in expected.items()
    }
    assert len(records) == sum(expected.values())


@pytest.mark.parametrize("target", [NATIVE, STATIC, I686], ids=lambda target: target.name)
def test_threads(tmp_path: Path, toolchain: Toolchain, target: Target) -> None:
    host = RingHost(tmp_path / "channel")
    host.run(emitters(toolchain, target, "threads", 20, 5000))
    check_all(host, dict.fromkeys(range(20), 5000))
    assert {claim.clock for claim in host.claims} == {ring_host.TSC}
    assert {claim.name for claim in host.claims} == {"ring_emitters", "emitter"}
    assert len({claim.tid for claim in host.claims}) == 21 == len(host.claims)
    assert len({(claim.pid, claim.cookie) for claim in host.claims}) == 1
    assert host.control_word() == host.control_word(8) == 0


@pytest.mark.parametrize("target", FOREIGN_TARGETS, ids=lambda target: target.name)
def test_threads_of_foreign_programs(tmp_path: Path, toolchain: Toolchain, target: Target) -> None:
    host = RingHost(tmp_path / "channel", mode=ring_host.ALL)
    host.run(emitters(toolchain, target, "threads", 5, 3000))
    check_all(host, dict.fromkeys(range(5), 3000))
    assert {claim.clock for claim in host.claims} == {ring_host.MONOTONIC_RAW}
    assert {claim.big_endian for claim in host.claims} == {target in (MIPS, S390X)}


@pytest.mark.parametrize("target", [AARCH64, S390X], ids=lambda target: target.name)
def test_foreign_programs_store_where_rings_are_for_native_ones(
    tmp_path: Path, toolchain: Toolchain, target: Target
) -> None:
    host = RingHost(tmp_path / "channel")
    host.run(emitters(toolchain, target, "threads", 3, 10))
    assert host.claims == []
    assert host.control_word(8) in (0x01020304, 0x04030201)


def test_an_emulated_program_of_the_hosts_own_kind_is_not_native(tmp_path: Path, toolchain: Toolchain) -> None:
    command = [require_tool("qemu-x86_64", "qemu-user"), *emitters(toolchain, STATIC, "threads", 2, 10)]
    host = RingHost(tmp_path / "channel")
    host.run(command)
    assert host.claims == []
    assert host.control_word(8) == 0x01020304
    host = RingHost(tmp_path / "all", mode=ring_host.ALL)
    host.run(command)
    check_all(host, dict.fromkeys(range(2), 10))
    assert {claim.clock for claim in host.claims} == {ring_host.MONOTONIC_RAW}


@pytest.mark.parametrize("target", [NATIVE, I686, S390X], ids=lambda target: target.name)
@pytest.mark.parametrize("args", [1, 2, 3, 5, 7, 8, 64])
def test_any_number_of_arguments(tmp_path: Path, toolchain: Toolchain, target: Target, args: int) -> None:
    host = RingHost(tmp_path / "channel", mode=ring_host.ALL, args=args, records=130)
    host.run(emitters(toolchain, target, "args", 500))
    found = host.records()["args"].astype(np.uint64)
    expected = (np.arange(500, dtype=np.uint64) << np.uint64(32))[:, None] | np.arange(args, dtype=np.uint64)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("target", [NATIVE, I686, AARCH64, S390X, MIPS], ids=lambda target: target.name)
@pytest.mark.parametrize("start", [2**32 - 700, (2**31 - 3) * 1000 + 7, 2**40 + 1])
def test_numbers_and_laps_wrap(tmp_path: Path, toolchain: Toolchain, target: Target, start: int) -> None:
    host = RingHost(tmp_path / "channel", mode=ring_host.ALL, start=start)
    host.run(emitters(toolchain, target, "threads", 2, 4500))
    check_all(host, {0: 4500, 1: 4500})


def test_more_threads_than_rings(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel", rings=4, chunk=3)
    host.run(emitters(toolchain, NATIVE, "threads", 16, 2000))
    records = host.records()
    assert len(records) == 3 * 2000
    recorded = set(records["args"][:, 0].tolist())
    check_all(host, dict.fromkeys(recorded, 2000))
    assert host.control_word(8) == 0x01020304


@pytest.mark.parametrize("way", ["forks", "raw-forks"])
def test_forks(tmp_path: Path, toolchain: Toolchain, way: str) -> None:
    host = RingHost(tmp_path / "channel", rings=24)
    host.run(emitters(toolchain, NATIVE, way, 20, 500))
    check_all(host, {0: 20 * 500, **dict.fromkeys(range(1, 21), 500)})
    assert len({claim.pid for claim in host.claims}) == len({claim.cookie for claim in host.claims}) == 21
    for claim in host.claims:
        assert set(claim.records()["args"][:, 2].tolist()) == {claim.pid}


@pytest.mark.parametrize("target", [I686, AARCH64, S390X], ids=lambda target: target.name)
def test_forks_of_foreign_programs(tmp_path: Path, toolchain: Toolchain, target: Target) -> None:
    host = RingHost(tmp_path / "channel", mode=ring_host.ALL)
    host.run(emitters(toolchain, target, "forks", 5, 200))
    check_all(host, {0: 5 * 200, **dict.fromkeys(range(1, 6), 200)})


def test_vforks(tmp_path: Path, toolchain: Toolchain) -> None:
    """Events of a child before the first event of its parent are stores. The other events are in the parent's ring."""
    host = RingHost(tmp_path / "channel")
    host.run(emitters(toolchain, NATIVE, "vforks", 30))
    records = host.records()
    check_records(records)
    check_times(host)
    assert numbers(records, 0) == list(range(300))
    assert numbers(records, 1) == list(range(2, 90))
    assert len(host.claims) == 2


def test_a_thread_that_asks_for_an_index_has_its_ring_before_its_first_event(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    host = RingHost(tmp_path / "channel")
    host.run(emitters(toolchain, NATIVE, "asked", 5))
    assert len({claim.tid for claim in host.claims}) == 6
    assert len(host.records()) == 0


def test_execs(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel")
    host.run(emitters(toolchain, NATIVE, "execs", 5, 300))
    check_all(host, dict.fromkeys(range(1, 6), 300))
    assert len({claim.pid for claim in host.claims}) == 1
    assert len({claim.cookie for claim in host.claims}) == 5


def test_a_process_that_shares_memory(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel")
    host.run(emitters(toolchain, NATIVE, "raw", 1000))
    check_all(host, {1: 1000, 2: 1000})


@pytest.mark.parametrize("count", [300, pytest.param(20000, marks=pytest.mark.heavy("20,000 threads are created"))])
def test_rings_are_used_again(tmp_path: Path, toolchain: Toolchain, count: int) -> None:
    """All events of a thread that finds a free ring are recorded."""
    host = RingHost(tmp_path / "channel", rings=64, chunk=64, records=128)
    host.run(emitters(toolchain, NATIVE, "churn", count, 3), pause=0)
    check_records(host.records())
    check_times(host)
    threads = [claim.records()["args"][:, :2].tolist() for claim in host.claims if claim.tid != claim.pid]
    assert all(events == [[events[0][0], number] for number in range(3)] for events in threads)
    assert len(threads) == count or host.control_word(8) == 0x01020304
    # 20,000 threads take long enough on any host.
    assert len(threads) > 64 or count < 20000


@pytest.mark.parametrize("period", [20, 50, 100])
@pytest.mark.parametrize("target", [NATIVE, I686], ids=lambda target: target.name)
def test_a_handler_emits_at_any_moment(tmp_path: Path, toolchain: Toolchain, target: Target, period: int) -> None:
    host = RingHost(tmp_path / "channel", records=200)
    output = host.run(emitters(toolchain, target, "handlers", 20000 * TIMES, period, 0))
    emitted, handled = map(int, output.split())
    check_all(host, {0: emitted, 1: handled}, interrupted=True)


@pytest.mark.parametrize("target", [AARCH64, S390X], ids=lambda target: target.name)
def test_a_handler_of_a_foreign_program_emits(tmp_path: Path, toolchain: Toolchain, target: Target) -> None:
    host = RingHost(tmp_path / "channel", mode=ring_host.ALL, records=200)
    output = host.run(emitters(toolchain, target, "handlers", 3000, 300, 0))
    emitted, handled = map(int, output.split())
    check_all(host, {0: emitted, 1: handled}, interrupted=True)


def test_a_handler_that_does_not_return(tmp_path: Path, toolchain: Toolchain) -> None:
    """Only the event during which it arrived may be missing."""
    host = RingHost(tmp_path / "channel", records=200)
    output = host.run(emitters(toolchain, NATIVE, "handlers", 20000 * TIMES, 50, 1))
    emitted, handled = map(int, output.split())
    records = host.records()
    check_records(records)
    check_times(host)
    assert numbers(records, 1) == list(range(handled))
    found = numbers(records, 0)
    assert found == sorted(set(found))
    assert emitted - handled <= len(found) <= emitted


def test_a_handler_emits_more_than_a_ring_holds(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel", records=128)
    output = host.run(emitters(toolchain, NATIVE, "nested", 400))
    emitted, handled = map(int, output.split())
    records = host.records()
    check_records(records)
    check_times(host)
    assert numbers(records, 0) == list(range(emitted))
    assert numbers(records, 1) == list(range(handled))
    assert host.dropped == 0


STEPS = 150
"""More instructions than an event has, the call included."""


@pytest.mark.parametrize("events", [1, 3, 127, 128, 129, 300])
def test_a_handler_comes_after_each_instruction_of_an_event(tmp_path: Path, toolchain: Toolchain, events: int) -> None:
    """The handler emits more events than fit into a ring. Neither its events nor the interrupted event are lost."""
    host = RingHost(tmp_path / "channel", records=128)
    output = host.run(emitters(toolchain, NATIVE, "stepped", STEPS, events, 0))
    interrupted, handled = map(int, output.split())
    assert 50 < interrupted <= STEPS
    assert handled == interrupted * events
    records = host.records()
    check_records(records)
    check_times(host)
    assert numbers(records, 0) == list(range(STEPS))
    assert numbers(records, 1) == list(range(handled))


@pytest.mark.parametrize("events", [0, 1, 130])
def test_an_event_is_left_after_each_of_its_instructions(tmp_path: Path, toolchain: Toolchain, events: int) -> None:
    """The handler exits with siglongjmp(). The interrupted event may or may not be recorded; all other events are
    recorded."""
    host = RingHost(tmp_path / "channel", records=128)
    output = host.run(emitters(toolchain, NATIVE, "stepped", STEPS, events, 1))
    interrupted, handled = map(int, output.split())
    records = host.records()
    check_records(records)
    check_times(host)
    found = numbers(records, 0)
    assert found == sorted(set(found))
    assert STEPS - interrupted <= len(found)
    assert numbers(records, 1) == list(range(handled))


def test_a_fork_comes_after_each_instruction_of_an_event(tmp_path: Path, toolchain: Toolchain) -> None:
    """Both the parent and the child complete the event, each in its own ring."""
    host = RingHost(tmp_path / "channel", rings=256)
    interrupted, _ = map(int, host.run(emitters(toolchain, NATIVE, "stepped", STEPS, 0, 2)).split())
    check_records(host.records())
    events = {claim.ring: claim.records()["args"][:, 1].tolist() for claim in host.claims}
    assert events.pop(0) == list(range(STEPS))
    finished = sorted(number for numbers_of_child in events.values() for number in numbers_of_child)
    assert finished == list(range(len(finished)))
    assert 40 < len(finished) <= interrupted


def test_a_handler_emits_the_first_event_of_a_thread(tmp_path: Path, toolchain: Toolchain) -> None:
    count = 100
    host = RingHost(tmp_path / "channel", rings=128)
    handled = int(host.run(emitters(toolchain, NATIVE, "first", count)))
    records = host.records()
    check_records(records)
    check_times(host)
    who, number = records["args"][:, 0], records["args"][:, 1]
    for thread in range(count):
        assert number[who == 2 * thread].tolist() == list(range(20))
        assert number[who == 2 * thread + 1].tolist() == list(range(int(np.sum(who == 2 * thread + 1))))
    assert len(records) == 20 * count + handled


def test_a_slow_reader_holds_the_program_up(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel", records=128, most=50)
    host.run(emitters(toolchain, NATIVE, "threads", 4, 2000))
    check_all(host, dict.fromkeys(range(4), 2000))


@pytest.mark.parametrize("target", [NATIVE, I686, S390X], ids=lambda target: target.name)
def test_what_is_dropped_is_counted(tmp_path: Path, toolchain: Toolchain, target: Target) -> None:
    host = RingHost(tmp_path / "channel", mode=ring_host.ALL, records=128, overflow=ring_host.DROP)
    host.run(emitters(toolchain, target, "threads", 4, 5000))
    records = host.records()
    check_records(records)
    check_times(host)
    assert len(records) + host.dropped == 4 * 5000
    for who in range(4):
        found = numbers(records, who)
        assert found == sorted(set(found))
        assert len(found) >= 64


def test_the_last_events_are_there_when_old_ones_are_overwritten(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel", records=1000, overflow=ring_host.OVERWRITE)
    host.run(emitters(toolchain, NATIVE, "threads", 3, 20500))
    records = host.records()
    check_records(records)
    check_times(host)
    for who in range(3):
        assert numbers(records, who) == list(range(19500, 20500))


@pytest.mark.parametrize("attempt", range(5 * TIMES))
def test_a_program_that_is_killed_leaves_what_it_had_emitted(
    tmp_path: Path, toolchain: Toolchain, attempt: int
) -> None:
    host = RingHost(tmp_path / "channel")
    host.run(emitters(toolchain, NATIVE, "forever", 4), kill_after=random.uniform(0.01, 0.1))
    if not host.claims:
        return
    records = host.records()
    check_records(records)
    check_times(host)
    for who in range(4):
        found = numbers(records, who)
        assert found == list(range(len(found)))
    assert host.passed_over <= 4


@pytest.mark.parametrize("target", [NATIVE, AARCH64], ids=lambda target: target.name)
def test_init_and_fini_again(tmp_path: Path, toolchain: Toolchain, target: Target) -> None:
    host = RingHost(tmp_path / "channel", mode=ring_host.ALL)
    host.run(emitters(toolchain, target, "again", 10, 300))
    check_all(host, dict.fromkeys(range(20), 300))


def test_stores_by_hand_go_on_beside_rings(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel")
    host.run(emitters(toolchain, NATIVE, "both", 700))
    check_all(host, {0: 700})
    assert host.control_word() == 699


def test_an_index_without_a_slot_is_stored(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel")
    host.run(emitters(toolchain, NATIVE, "outside"))
    assert [len(claim.records()) for claim in host.claims] in ([], [0])
    assert host.control_word() == host.layout.max_clients


def test_calibration_by_rings(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel")
    host.run(emitters(toolchain, NATIVE, "calibrate", 100))
    first = host.records()["args"][:, 0].astype(np.uint64)
    begin = np.uint64(0x6362726174650001)
    assert len(first) == 2 * 11 * 100
    assert np.array_equal(first[::2] + np.uint64(1), first[1::2])
    assert np.array_equal(np.unique(first[::2] - begin), np.arange(0, 22, 2, dtype=np.uint64))


BAD_RINGS = {
    "no-rings": (0x58, 4, 0),
    "too-many": (0x58, 4, 1000),
    "few-records": (0x5C, 4, 1),
    "records-beyond-the-stride": (0x5C, 4, 100000),
    "no-chunk": (0x60, 4, 0),
    "overflow": (0x64, 4, 3),
    "offset-in-the-channel": (0x48, 8, 0x10000),
    "odd-offset": (0x48, 8, (1 << 20) + 4096),
    "offset-far-beyond": (0x48, 8, 1 << 63),
    "no-stride": (0x50, 8, 0),
    "odd-stride": (0x50, 8, 4096),
    "file-without-rings": (0x68, 8, 1 << 20),
}


@pytest.mark.parametrize("bad", BAD_RINGS)
def test_rings_that_cannot_be_are_refused(tmp_path: Path, toolchain: Toolchain, bad: str) -> None:
    host = RingHost(tmp_path / "channel")
    offset, size, value = BAD_RINGS[bad]
    host.memory[offset : offset + size] = np.frombuffer(value.to_bytes(size, "little"), np.uint8)
    output = host.run([toolchain.compile(GUESTS / "library_init.c", NATIVE), host.path])
    assert output.startswith("init EINVAL")


def test_a_file_without_the_rings_means_stores(tmp_path: Path, toolchain: Toolchain) -> None:
    """As in a machine, whose device shows only the beginning of the file."""
    host = RingHost(tmp_path / "channel")
    for field, value in ((0x48, 1 << 39), (0x68, 1 << 40)):
        host.memory[field : field + 8] = np.frombuffer(value.to_bytes(8, "little"), np.uint8)
    host.run(emitters(toolchain, NATIVE, "threads", 1, 10))
    assert host.claims == []
    assert host.control_word(8) == 0x01020304


def test_the_rings_that_a_program_sees_are_used(tmp_path: Path, toolchain: Toolchain) -> None:
    """The device's memory is only the beginning of the file, so the file has more rings."""
    host = RingHost(tmp_path / "channel", rings=2, chunk=1)
    for field, size, value in ((0x58, 4, 1000), (0x68, 8, 1 << 40)):
        host.memory[field : field + size] = np.frombuffer(value.to_bytes(size, "little"), np.uint8)
    os.truncate(host.path, host.offset + 2 * host.stride)
    host.run(emitters(toolchain, NATIVE, "threads", 4, 10))
    assert len(host.claims) == 2
    assert host.control_word(8) == 0x01020304


def test_a_mode_of_later_versions_means_stores(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel", mode=3)
    host.run(emitters(toolchain, NATIVE, "threads", 1, 10))
    assert host.claims == []
    assert host.control_word(8) == 0x01020304


def test_no_memory_for_rings_means_stores(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel", rings=4096, chunk=4096)
    limit = ["sh", "-c", 'ulimit -v 200000; exec "$@"', "sh"]
    host.run([*limit, *emitters(toolchain, NATIVE, "threads", 1, 10)])
    assert host.claims == []
    assert host.control_word(8) == 0x01020304


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_an_object_that_is_loaded_and_unloaded(tmp_path: Path, toolchain: Toolchain, compiler: str) -> None:
    source, program, loaded = GUESTS / "ring_loaded.c", tmp_path / "program", tmp_path / "loaded.so"
    flags = [require_tool(compiler, compiler), "-O2", "-pthread", f"-I{GUEST_LIBRARY}"]
    build([*flags, "-fPIC", "-shared", "-DOBJECT", source, toolchain.library(NATIVE), "-o", loaded])
    build([*flags, source, "-o", program, "-ldl"])
    host = RingHost(tmp_path / "channel")
    host.run([program, loaded])
    check_all(host, {100: 1, **dict.fromkeys(range(10), 1000)})


WAYS = (
    "threads 6 1000",
    "churn 100 3",
    "forks 2 100",
    "again 3 100",
    "handlers 2000 300 0",
    "first 10",
    "vforks 3",
    "nested 400",
)


def build(command: Sequence[object]) -> None:
    """Run a compiler."""
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("sanitizer", ["thread", "address,undefined"])
def test_sanitizers_find_nothing(tmp_path: Path, sanitizer: str) -> None:
    """The sanitizers, with which the library is compiled here, also report no errors in it. ThreadSanitizer needs an
    address space without randomisation."""
    program = tmp_path / "program"
    flags = [f"-fsanitize={sanitizer}", "-fno-sanitize-recover=all", "-O1", "-g", "-D_GNU_SOURCE", f"-I{GUEST_LIBRARY}"]
    sources = [GUESTS / "ring_emitters.c", *sorted(GUEST_LIBRARY.glob("*.c"))]
    build(["gcc", *flags, "-pthread", *sources, "-o", program])
    for way in WAYS:
        host = RingHost(tmp_path / "channel", records=200)
        host.run([require_tool("setarch", "util-linux"), "-R", program, *way.split()])
        check_records(host.records())
        check_times(host)


def test_valgrind_finds_nothing(tmp_path: Path, toolchain: Toolchain) -> None:
    valgrind: list[str | Path] = [require_tool("valgrind", "valgrind"), "-q", "--error-exitcode=9"]
    for command in (
        emitters(toolchain, NATIVE, "threads", 3, 500),
        emitters(toolchain, NATIVE, "handlers", 500, 1000, 0),
    ):
        host = RingHost(tmp_path / "channel", records=200)
        host.run([*valgrind, *command])
        check_records(host.records())
        check_times(host)


def test_nothing_leaks(tmp_path: Path, toolchain: Toolchain) -> None:
    host = RingHost(tmp_path / "channel")
    assert host.run([toolchain.compile(GUESTS / "library_leak.c", NATIVE), host.path]) == "ok\n"
