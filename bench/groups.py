"""The tables of a report."""

from __future__ import annotations

from bench.model import Group

COST = Group(
    "cost", "What an event costs", "ns", "floor", rounds=7, quick_rounds=2, facts=("ns without events",), probed=True
)
STARTUP = Group("startup", "What starting a program costs", "ms", "true", rounds=21, quick_rounds=7)
FIRST = {
    name: Group(f"first-{name}", title, "us", f"first-{name}-native-rings", rounds=9, quick_rounds=2)
    for name, title in (
        ("init", "qemu_hypertrace_init()"),
        ("event", "The first event of a run, after qemu_hypertrace_init()"),
        ("site", "The first event of a further call site"),
    )
}
"""The groups for the time that a program waits until its events are cheap, by their names in ``first_events.c``."""
BOOT = Group("boot", "Booting a machine and powering it off", "ms", "boot-x86_64", rounds=9, quick_rounds=2)
GETPPID = Group("getppid", "A program that makes cheap system calls", "ns", "getppid", rounds=9, quick_rounds=3)
MMAP = Group("mmap", "A program that calls mmap and munmap", "ns", "mmap", rounds=9, quick_rounds=3)
RECORDED = Group("recorded", "The cost of recording a system call", "ns", "recorded-strace", rounds=9, quick_rounds=3)
PROCESSES = Group(
    "processes", "Recording all system calls of a shell script", "ms", "processes-strace", rounds=7, quick_rounds=2
)
TRACED = {
    name: Group(f"traced-{name}", title, "us", f"{name}-strace", rounds=5, quick_rounds=2)
    for name, title in (
        ("signal", "A signal with a handler"),
        ("masks", "Two calls of sigprocmask"),
        ("thread", "Creating and joining a thread"),
        ("fork", "fork, exit and wait"),
        ("exec", "vfork, exec, exit and wait"),
        ("fault", "A SIGSEGV that the program handles"),
        ("file-map", "mmap and munmap of a shared file"),
    )
}
"""The groups for the kinds of work of a program that a tracer slows down, by name."""

LANGUAGES = Group("languages", "The cost of a span in each language", "ns", "span-c", rounds=5, quick_rounds=1)
SUSTAINED = Group(
    "sustained",
    "Sustained rate of two threads, with the trace in memory",
    "million events/s",
    "sustained-lttng",
    rounds=1,
    quick_rounds=1,
    facts=("in the trace", "lost", "ns per event"),
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
    "Queries on a trace of 10,000,000 events",
    "million events/s",
    "stat",
    rounds=3,
    quick_rounds=1,
    facts=("s", "MB"),
)
HASHES = tuple(
    Group(
        f"hash-{size}",
        f"Timing a function that takes about {text}",
        "ns",
        f"hash-{size}",
        rounds=9,
        quick_rounds=3,
        facts=("raw median", "cost of an event"),
    )
    for size, text in ((1_000, "1 us"), (10_000, "10 us"), (100_000, "100 us"))
)
PROGRAM = Group(
    "program",
    "Timing a program that takes about 50 ms",
    "ms",
    "program",
    rounds=7,
    quick_rounds=1,
    facts=("standard deviation",),
)
SHORT_PROGRAM = Group(
    "short-program",
    "Timing the program true",
    "ms",
    "short-program",
    rounds=7,
    quick_rounds=1,
    facts=("standard deviation",),
)
