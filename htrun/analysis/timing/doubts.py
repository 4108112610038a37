"""Derives reasons to doubt measured times from the facts of a trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Facts = Mapping[str, str | int]

ENVIRONMENT = (
    "command", "hostname", "sysname", "kernel_release", "machine", "cpu_model", "cpu_count", "cpu_governor",
    "cpu_turbo", "cpu_smt", "hypervisor", "aslr", "load", "affinity", "emulator", "emulator_version",
    "guest_architecture", "guest_cpu", "clock_source", "clock_error_ns", "clock_step_ticks", "timestamp",
    "htrun_version",
)  # fmt: skip
"""The facts of a trace that describe the origin of its times."""

EMULATED = "under emulation: these are host times of translated code, not cycles of the target"
_BUSY = 0.5
"""The minimum load per processor at which other programs are assumed to interfere."""
_COMPARED = {
    "hostname": "machines",
    "cpu_model": "processors",
    "kernel_release": "kernels",
    "cpu_governor": "governors",
    "cpu_turbo": "turbo",
    "cpu_smt": "SMT",
    "affinity": "processors used",
    "emulator": "emulators",
    "emulator_version": "versions of the emulator",
    "guest_architecture": "guest architectures",
    "guest_cpu": "guest processors",
    "clock_source": "clocks",
    "timestamp": "orders of time stamps",
    "htrun_version": "versions of htrun",
}


def environment_of(facts: Facts) -> dict[str, str | int]:
    """The ``facts`` that describe the origin of times."""
    return {key: facts[key] for key in ENVIRONMENT if key in facts and facts[key] != ""}


def is_emulated(facts: Facts) -> bool:
    """Whether an emulator ran the guest."""
    return bool(facts.get("emulator"))


def doubts(facts: Facts) -> Iterator[str]:
    """The reasons to doubt the times of a run with these ``facts``, one line each."""
    if facts.get("clock_source") == "monotonic":
        yield "the time stamp counter could not be trusted: each event trapped, and cost microseconds"
    governors = str(facts.get("cpu_governor", ""))
    if governors not in {"", "performance"}:
        yield f"the processor's speed may change (governor {governors}); hypertrace bench --tune sets performance"
    if facts.get("cpu_turbo") == "on":
        yield "turbo is on: speed depends on load and temperature; hypertrace bench --tune switches it off"
    if facts.get("hypervisor") == 1:
        yield "the machine is virtual: other machines on its host may take processor time"
    count, load = facts.get("cpu_count"), _as_float(facts.get("load", ""))
    if isinstance(count, int) and count and load is not None and load / count >= _BUSY:
        yield f"the machine was busy when the run began (load {load} on {count} processors)"


def differences(one: Facts, other: Facts) -> Iterator[str]:
    """The differences between the environments of two runs, one line each. A fact that only one run has is ignored. But
    it is a difference if only one run was under an emulator."""
    for key, what in _COMPARED.items():
        mine, theirs = str(one.get(key, "")), str(other.get(key, ""))
        if mine != theirs and ((mine and theirs) or key == "emulator"):
            yield f"different {what}: {mine or 'none'}, {theirs or 'none'}"


def _as_float(text: str | int) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
