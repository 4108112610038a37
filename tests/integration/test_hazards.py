"""The hazards of patching code while it runs: one named test each, with a real program.

A guest prints what it expects: ``events N``, and for a site ``site ADDRESS jump|any|refused``, where "jump" is a patch
of the store's own bytes, "any" is one of them or a pun, "refused" is none.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from tests.support.emulators import GENERATIONS, Generation
from tests.support.requirements import require_tool
from tests.support.run import Htrun, Result
from tests.support.targets import I686, NATIVE, NO_PIE, STATIC, Target
from tests.support.toolchain import Toolchain

GUESTS = Path(__file__).parent / "guests"


@pytest.fixture
def run(toolchain: Toolchain, htrun: Htrun) -> Runner:
    """Runs a case of a guest."""
    return Runner(toolchain, htrun)


class Runner:
    """Compiles guests and runs their cases under htrun."""

    def __init__(self, toolchain: Toolchain, htrun: Htrun) -> None:
        self._toolchain = toolchain
        self._htrun = htrun

    def __call__(
        self,
        guest: str,
        case: str,
        *,
        target: Target = NATIVE,
        emulator: str | None = None,
        options: tuple[str, ...] = (),
        env: dict[str, str] | None = None,
    ) -> Result:
        """Run ``case`` of ``guest``, which must succeed with nothing lost."""
        program = self._toolchain.compile(GUESTS / f"{guest}.c", target, flags=(f"-I{GUESTS}",))
        command = [emulator, program] if emulator else [program]
        return self._htrun.run(*command, case, options=options, env=env, timeout=240).check()


def words(result: Result, name: str) -> list[str]:
    """The remainders of the guest's lines that begin with ``name``."""
    return [line.split(" ", 1)[1] for line in result.stdout.splitlines() if line.startswith(f"{name} ")]


def sites_at(result: Result, address: str) -> list[dict[str, Any]]:
    """The summary's entries of the sites at an address."""
    return [site for site in result.summary["sites"] if site["address"] == address]


def check_events(result: Result) -> None:
    """Check that exactly the events that the guest printed are recorded, each complete, and in the order of each
    thread."""
    assert [str(len(result.events))] == words(result, "events"), result.stdout + result.stderr
    last: defaultdict[tuple[int, int], int] = defaultdict(lambda: -1)
    for event in result.events:
        number, _index, inverted, _constant = event.args
        if inverted:
            assert inverted == ~number & (1 << 64) - 1, event
        assert number > last[event.tid, event.index], event
        last[event.tid, event.index] = number


def check_sites(result: Result) -> None:
    """Check that each site is patched as the guest expected; a patched one does not trap for each event."""
    expected = words(result, "site")
    assert expected, result.stdout
    for line in expected:
        address, what = line.split(" ")
        found = sites_at(result, address)
        assert found, line
        for site in found:
            if what == "refused":
                assert site["not_patched"], site
                assert not site["patched"], site
            else:
                assert re.match("jump" if what == "jump" else "jump|pun", site["patched"]), site
                assert site["traps"] < site["events"], site


def check(result: Result) -> Result:
    """Check everything that a guest printed."""
    check_events(result)
    check_sites(result)
    return result


EMITS = """
#include <qemu-hypertrace.h>
int main(void)
{
    int i;
    if (qemu_hypertrace_init(0) != 0)
        return 1;
    for (i = 0; i < 20; i++)
        qemu_hypertrace(3);
    return 0;
}
"""

PLACES = ("page_end", "page_across", "before_target", "before_return", "before_call", "two_bytes")


@pytest.mark.parametrize("case", PLACES)
def test_place_of_a_site(run: Runner, case: str) -> None:
    """Stores at the end of a page; on two pages; before the target of a jump, a return, a call; so short that only one
    pun is possible."""
    check(run("hazard_places", case))


@pytest.mark.parametrize("case", PLACES)
def test_place_of_a_site_in_a_program_at_a_low_address(run: Runner, case: str) -> None:
    """A pun may be impossible, because the targets of half of all jumps would be below address 0."""
    result = run("hazard_places", case, target=NO_PIE)
    check_events(result)
    for line in words(result, "site"):
        (site,) = sites_at(result, line.split(" ")[0])
        assert site["patched"] or site["not_patched"], site


def test_two_sites_on_the_same_bytes(run: Runner) -> None:
    """The jump at one site would end in the store of the other, while the channel is mapped and unmapped."""
    result = run("hazard_places", "adjacent")
    assert len(result.events) == 300
    assert len([site for site in result.summary["sites"] if site["events"]]) == 2


def test_32_bit_code(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile_text(EMITS, "emits", I686)
    result = htrun.run(program).check()
    assert len(result.events) == 20
    assert {site["not_patched"] for site in result.summary["sites"] if site["events"]} == {"32-bit code"}


def test_many_traps_of_32_bit_code(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile_text(EMITS.replace("20", "10000"), "emits-many", I686)
    result = htrun.run(program, options=("--via", "store"))
    assert result.status == 0
    assert result.summary["warnings"] == {"costly-site": 1}
    assert re.search(
        r"^htrun: warning: the store at 0x\w+ in process \d+ trapped 10,000 times, .* not patched: 32-bit code$",
        result.stderr,
        re.MULTILINE,
    )
    # With --no-patch, there is no warning that each event traps.
    assert htrun.run(program, options=("--via", "store", "--no-patch")).summary["warnings"] == {}


def test_site_at_the_end_of_a_mapping(run: Runner) -> None:
    result = check(run("hazard_places", "mapping_end"))
    reasons = {site["not_patched"] for site in result.summary["sites"] if site["traps"] > 1}
    assert reasons == {"the executable mapping ends right after the store", "the store is in two mappings"}


def test_breakpoint_of_the_guest_behind_a_store(run: Runner) -> None:
    check(run("hazard_places", "breakpoint"))


def test_breakpoint_of_the_guest_over_a_patched_site(run: Runner) -> None:
    check(run("hazard_memory", "breakpoint_over"))


@pytest.mark.heavy("each of hundreds of instructions")
def test_signals_at_each_instruction_of_a_trampoline(run: Runner) -> None:
    """Thousands of signals hit a thread that is in a trampoline most of the time. The handler sees the thread at the
    site or after it, with the registers, flags and red zone that it has there, and can unwind the stack.
    (tests/unit/intercept/test_way_out.py checks every single instruction.)"""
    result = run("hazard_signals", "signals_in_trampoline")
    check_sites(result)
    assert words(result, "events") == [str(len(result.events))]


@pytest.mark.parametrize("emulator", [None, "qemu-x86_64"], ids=["native", "qemu"])
def test_site_in_a_handler_on_an_alternate_stack(run: Runner, emulator: str | None) -> None:
    result = emulated(run, "hazard_signals", "alternate_stack", emulator)
    (handled,) = words(result, "handled")
    by_index = Counter(event.index for event in result.events)
    assert by_index[3] == int(handled)
    assert words(result, "events") == [str(len(result.events))]
    for index in (2, 3):
        numbers = [event.args[0] for event in result.events if event.index == index]
        assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("emulator", [None, "qemu-x86_64"], ids=["native", "qemu"])
def test_handler_that_jumps_out_of_an_event(run: Runner, emulator: str | None) -> None:
    """The guest cannot know whether its last event before a jump was emitted, so one event for each jump is
    uncertain."""
    result = emulated(run, "hazard_signals", "long_jump", emulator)
    (line,) = words(result, "counted")
    counted, _, jumps = line.split(" ")
    assert int(counted) <= result.summary["events"] <= int(counted) + int(jumps)


def test_own_fault_at_a_patched_site(run: Runner) -> None:
    """A store that usually emits writes to a null pointer. The guest's handler sees the fault at the site."""
    check(run("hazard_signals", "own_fault"))


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: str(generation.name))
def test_own_fault_of_an_emulators_guest(run: Runner, generation: Generation) -> None:
    """QEMU looks up the address in its code cache, so its guest sees the guest's instruction."""
    emulator = str(generation.emulator("qemu-x86_64"))
    result = run("hazard_signals", "own_fault", target=STATIC, emulator=emulator)
    check_events(result)
    assert any(site["patched"] and site["traps"] < 20 for site in result.summary["sites"])


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: str(generation.name))
def test_code_that_reads_itself_in_an_emulator(run: Runner, generation: Generation) -> None:
    """Only the translation is patched: the guest's own code never changes."""
    emulator = str(generation.emulator("qemu-x86_64"))
    result = run("hazard_memory", "own_code", target=STATIC, emulator=emulator)
    check_events(result)
    assert words(result, "code") == ["unchanged"]
    assert any(site["patched"] for site in result.summary["sites"])


def test_threads_at_a_site_while_it_is_patched(run: Runner) -> None:
    """Four threads reach a new site at once, ten times; they block all signals and ignore SIGTRAP and SIGSEGV, before
    and after."""
    result = run("hazard_signals", "patched_under_way")
    check_sites(result)
    assert words(result, "events") == [str(len(result.events))]


@pytest.mark.parametrize(
    "case",
    [
        "shared_helper",
        "guard_page",
        "flags_and_red_zone",
        "no_window",
        "rewritten_behind",
        "heap_grows",
        pytest.param("many_sites", marks=pytest.mark.heavy("ten thousand sites")),
        pytest.param("many_threads", marks=pytest.mark.heavy("ten thousand threads")),
    ],
)
def test_memory(run: Runner, case: str) -> None:
    """Ordinary stores by the same instruction; no room below the red zone; flags read after the site, values in the red
    zone; no room for a trampoline; code after a store that the program rewrites; brk(); 10,000 sites; 10,000
    threads."""
    check(run("hazard_memory", case))


def test_code_that_reads_itself(run: Runner) -> None:
    """As described in docs/troubleshooting.md: it finds the jump, or with --no-patch its own bytes."""
    patched = run("hazard_memory", "own_code")
    check_events(patched)
    assert words(patched, "code") == ["changed"]
    assert words(patched, "first") == ["byte 0xe9"]
    left_alone = run("hazard_memory", "own_code", options=("--no-patch",))
    check_events(left_alone)
    assert words(left_alone, "code") == ["unchanged"]
    assert {site["not_patched"] for site in left_alone.summary["sites"] if site["events"]} == {"--no-patch"}


def test_nothing_is_writable_and_executable(run: Runner) -> None:
    check_events(run("hazard_memory", "w_xor_x"))


def test_channel_unmapped_and_mapped_again(run: Runner) -> None:
    """In between, a patched store to the same address reaches the guest's own memory."""
    result = run("hazard_memory", "remapped")
    check_events(result)
    (line,) = words(result, "site")
    (site,) = sites_at(result, line.split(" ")[0])
    # 10 events for each of the 200 times that it was mapped.
    assert site["traps"] == 200
    assert site["events"] == 2000


@pytest.mark.parametrize("options", [("--ring-size=64K",), ("--no-patch",)], ids=["patched", "trapped"])
@pytest.mark.parametrize("case", ["mapped_over_amid_events", "unprotected_amid_events"])
def test_channel_mapped_over_itself_or_unprotected_while_threads_emit(
    run: Runner, case: str, options: tuple[str, ...]
) -> None:
    """Its control region is never unprotected, even briefly, because a store in that time would be lost. The ring is
    small and therefore often full, because a patched site then executes its original store."""
    check_events(run("hazard_remapping", case, options=options))


@pytest.mark.parametrize("case", ["unmapped_amid_stores", "replaced_amid_stores"])
def test_memory_where_the_channel_was_a_moment_ago(run: Runner, case: str) -> None:
    """A patched store of another thread reaches the new memory as soon as it exists."""
    check_events(run("hazard_remapping", case))


@pytest.mark.parametrize("options", [(), ("--no-patch",)], ids=["patched", "trapped"])
def test_code_that_goes_while_threads_run_it(run: Runner, options: tuple[str, ...]) -> None:
    """If the code of a store is unmapped before htrun reads it, the store is not executed, and the thread gets a fault
    because its code is gone. A thread cannot know whether its last event before a fault was emitted.
    """
    result = run("hazard_remapping", "code_unmapped_amid_events", options=options)
    (counted,), jumps = words(result, "events"), words(result, "jumps")
    assert sum(map(int, jumps)) > 0
    # Generated code too short for a jump is not patched.
    assert result.summary["warnings"].keys() <= {"costly-site"}
    assert int(counted) - sum(map(int, jumps)) <= result.summary["events"] <= int(counted)
    assert result.summary["events"] > 0


@pytest.mark.parametrize("part", ["htrun-trampolines", "htrun-rings", "table"])
@pytest.mark.parametrize("case", ["unmaps_strangers", "unmaps_before_fork"])
def test_htruns_memory_unmapped_by_the_guest(run: Runner, case: str, part: str) -> None:
    """From then on its events trap. So do the events of a child that was forked before htrun noticed this."""
    result = run("hazard_memory", case, env={"UNMAPS": part})
    check_events(result)
    assert result.summary["warnings"] == {"injection": 1}
    assert result.stderr.count("htrun: warning:") == 1


def test_code_rewritten_in_place(run: Runner) -> None:
    """The code at the same addresses is replaced 600 times. There are three sites in total, and sites for which patches
    are not worthwhile are no longer patched."""
    result = run("hazard_memory", "regenerated")
    assert len(result.events) == 6000
    assert len([site for site in result.summary["sites"] if site["events"]]) == 3


@pytest.mark.parametrize("case", ["code_cache", "regenerated"])
def test_code_cache_of_an_emulator_flushed(run: Runner, case: str) -> None:
    """A guest that modifies itself: its translations are discarded, one by one and all at once."""
    result = emulated(run, "hazard_memory", case, "qemu-x86_64")
    assert words(result, "events") == [str(len(result.events))]
    emitting = [site for site in result.summary["sites"] if site["events"]]
    assert len(emitting) > 1
    assert all(site["symbol"] == "generated code" for site in emitting)
    assert result.summary["traps"] < len(result.events) / 5


@pytest.mark.parametrize(
    "case",
    ["fork_unmaps", "vfork_emits", "spawn_emits", "no_pointer", "limited_memory", "own_filter"],
)
def test_processes(run: Runner, case: str) -> None:
    """A forked child that unmaps the channel; vfork and posix_spawn children; a thread without a thread pointer; ulimit
    -v; a guest's own seccomp filter, which would kill it for htrun's calls."""
    check(run("hazard_processes", case))


def test_threads_with_one_thread_pointer(run: Runner) -> None:
    """No trampoline can distinguish these threads, so they trap, and no event is assigned to the wrong thread."""
    result = run("hazard_processes", "same_pointer")
    check_events(result)
    (line,) = words(result, "site")
    (site,) = sites_at(result, line.split(" ")[0])
    assert site["traps"] == site["events"] == 6000


def test_a_thread_with_a_copy_of_anothers_control_block(run: Runner) -> None:
    """A trampoline that reads the word at fs:0 would mistake this thread for the other one. After this is detected,
    trampolines use the register."""
    result = run("hazard_processes", "copied_pointer")
    check(result)
    assert result.summary["traps"] < 100


def test_threads_without_their_thread_pointer_in_memory(run: Runner) -> None:
    """They are identified by the register, and so are all other threads of the process."""
    result = run("hazard_processes", "other_words")
    check(result)
    assert result.summary["traps"] < 100


def test_exec(run: Runner) -> None:
    result = run("hazard_processes", "exec_again", env={"EXECS": "20"})
    assert len(result.events) == 21 * 10
    # In the last process, the channel is unmapped, and the patch is removed.
    assert sum(1 for site in result.summary["sites"] if site["patched"]) == 20
    assert words(result, "stored") == ["7"]


def test_two_hundred_execs(run: Runner) -> None:
    """Seccomp filters are kept through an exec, and the kernel accepts at most about sixty filters of htrun."""
    result = run("hazard_processes", "exec_again", env={"EXECS": "200"}, options=("--no-patch",))
    assert len(result.events) == 201 * 10
    assert words(result, "stored") == ["7"]
    assert result.summary["warnings"] == {}


def test_forks_amid_patching(run: Runner) -> None:
    result = run("hazard_processes", "fork_amid_patching")
    assert words(result, "events") == [str(len(result.events))]


def test_forks_amid_threads_that_end(run: Runner) -> None:
    """A child's threads get their own rings, although their thread pointers are those of threads that had rings."""
    check_events(run("hazard_processes", "fork_amid_threads"))


def test_a_place_that_only_forked_children_come_to(run: Runner) -> None:
    """It is one site. Each child's first event traps, since its trampoline is too far from those of its parent."""
    result = check(run("hazard_processes", "children_alone"))
    (address,) = [line.split(" ")[0] for line in words(result, "site")]
    (site,) = sites_at(result, address)
    assert (site["traps"], site["events"]) == (400, 2000)


def test_code_of_forked_children_at_one_address(run: Runner) -> None:
    """A trampoline for one of them is in memory that the other process does not have."""
    result = check(run("hazard_processes", "children_generate"))
    assert len({event.tid for event in result.events}) == 3


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("tiny_memory", "its address space is limited to 8 MiB (ulimit -v)"),
        ("no_descriptors", "Too many open files"),
    ],
)
def test_trapping_where_htrun_gets_no_memory(run: Runner, case: str, reason: str) -> None:
    """Every event is recorded, and one warning gives the reason why events are slow."""
    result = run("hazard_processes", case)
    check(result)
    assert result.summary["warnings"] == {"injection": 1}
    (warning,) = [line for line in result.stderr.splitlines() if line.startswith("htrun: warning:")]
    assert reason in warning
    assert warning.endswith("; each event traps, which costs thousands of times as much")
    assert "[Errno" not in warning


@pytest.mark.parametrize("case", ["no_proc", "other_user"])
def test_patches_where_htruns_files_cannot_be_opened(run: Runner, case: str) -> None:
    """If a process cannot access htrun's /proc, htrun passes the memory to it."""
    result = check(run("hazard_processes", case))
    assert result.summary["warnings"] == {}


def test_sites_are_told_of(run: Runner) -> None:
    """With -v a line for each site: address, symbol, instruction, how it is patched, traps, events."""
    result = check(run("hazard_places", "page_end", options=("-v",)))
    (line,) = [line for line in result.stderr.splitlines() if ", page_end+0x0: " in line]
    (site,) = [site for site in result.summary["sites"] if site["symbol"] == "page_end+0x0"]
    assert line == (
        f"htrun: site {site['address']} in process {site['pid']}, page_end+0x0: mov %esi,(%rdi): "
        f"patched, {site['patched']}; traps {site['traps']}, events 1000"
    )


def emulated(run: Runner, guest: str, case: str, emulator: str | None) -> Result:
    """The result of a case, which may run under an emulator."""
    if emulator is None:
        return run(guest, case)
    require_tool(emulator, "qemu-user")
    return run(guest, case, target=STATIC, emulator=emulator)
