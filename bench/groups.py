"""The tables of a report."""

from __future__ import annotations

from bench.model import Group

COST = Group(
    "cost", "What an event costs", "ns", "floor", rounds=7, quick_rounds=2, facts=("ns without events",), probed=True
)
STARTUP = Group("startup", "What starting a program costs", "ms", "true", rounds=21, quick_rounds=7)
BOOT = Group("boot", "Booting a machine and powering it off", "ms", "boot-x86_64", rounds=9, quick_rounds=2)
GETPPID = Group("getppid", "A program of cheap system calls", "ns", "getppid", rounds=9, quick_rounds=3)
MMAP = Group("mmap", "A program of mmap and munmap", "ns", "mmap", rounds=9, quick_rounds=3)
RECORDED = Group("recorded", "A system call that is recorded", "ns", "recorded-strace", rounds=9, quick_rounds=3)
PROCESSES = Group(
    "processes", "A script all of whose calls are recorded", "ms", "processes-strace", rounds=7, quick_rounds=2
)
TRACED = {
    name: Group(f"traced-{name}", title, "us", f"{name}-strace", rounds=5, quick_rounds=2)
    for name, title in (
        ("signal", "A signal with a handler"),
        ("masks", "sigprocmask, twice"),
        ("thread", "A thread created and joined"),
        ("fork", "fork, exit and wait"),
        ("exec", "vfork, exec, exit and wait"),
        ("fault", "A SIGSEGV that the program handles"),
        ("file-map", "mmap and munmap of a shared file"),
    )
}
"""The groups for the kinds of work of a program that a tracer slows down, by name."""

LANGUAGES = Group("languages", "A span in each language", "ns", "span-c", rounds=5, quick_rounds=1)
SUSTAINED = Group(
    "sustained",
    "Two threads to a trace in memory",
    "million events/s",
    "sustained-lttng",
    rounds=1,
    quick_rounds=1,
    facts=("counted", "lost", "ns in the program"),
)
FORMATS = Group(
    "formats",
    "Reading, printing and writing traces",
    "million events/s",
    "babeltrace2-text",
    rounds=3,
    quick_rounds=1,
)
ANSWERS = Group(
    "answers",
    "Questions asked of a trace of 10,000,000 events",
    "million events/s",
    "stat",
    rounds=3,
    quick_rounds=1,
    facts=("s", "MB"),
)
HASHES = tuple(
    Group(
        f"hash-{size}",
        f"A function of some {text}, timed",
        "ns",
        f"hash-{size}",
        rounds=9,
        quick_rounds=3,
        facts=("raw median", "an event"),
    )
    for size, text in ((1_000, "1 us"), (10_000, "10 us"), (100_000, "100 us"))
)
PROGRAM = Group(
    "program", "A program of some 50 ms, timed", "ms", "program", rounds=7, quick_rounds=1, facts=("std. dev.",)
)
SHORT_PROGRAM = Group(
    "short-program", "true, timed", "ms", "short-program", rounds=7, quick_rounds=1, facts=("std. dev.",)
)
