"""The time stamp counter as a source of time stamps."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import TYPE_CHECKING

from htrun.events.clock import Clock, MonotonicSource, Sample
from htrun.machine_code import executable

if TYPE_CHECKING:
    from collections.abc import Callable

_SECOND = 1_000_000_000


def best_clock() -> Clock:
    """A clock on the time stamp counter if this counter is reliable; otherwise a clock on CLOCK_MONOTONIC."""
    doubt = doubt_about_tsc()
    return Clock(MonotonicSource(), doubt) if doubt else Clock(TscSource())


class TscSource:
    """The time stamp counter. A few bytes of machine code read it."""

    name = "tsc"

    _READ = bytes.fromhex(
        "0f31"  # rdtsc
        "48c1e220 4809d0"  # shl $32,%rdx; or %rdx,%rax
        "c3"  # ret
    )
    _SAMPLE = bytes.fromhex(
        "53"  # push %rbx, which also aligns the stack for the call
        "4889fb 4889d1"  # mov %rdi,%rbx; mov %rdx,%rcx
        "89f7 488d7308"  # mov %esi,%edi; lea 8(%rbx),%rsi
        "0faee8 0f31 48c1e220 4809d0 488903"  # lfence; rdtsc; ...; mov %rax,(%rbx)
        "ffd1"  # call *%rcx
        "0faee8 0f31 48c1e220 4809d0 48894318"  # lfence; rdtsc; ...; mov %rax,24(%rbx)
        "5b c3"  # pop %rbx; ret
    )
    """``void sample(uint64_t out[4], clockid_t, clock_gettime)`` fills ``out`` with ticks, a struct timespec, and
    ticks."""

    def __init__(self) -> None:
        """Raises `HtrunError` if the kernel forbids executable memory, as a hardened kernel does."""
        libc = ctypes.CDLL(None, use_errno=True)
        address = executable(self._READ + self._SAMPLE)
        self.read: Callable[[], int] = ctypes.CFUNCTYPE(ctypes.c_uint64)(address)
        self._sample = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(address + len(self._READ))
        self._clock_gettime = ctypes.cast(libc.clock_gettime, ctypes.c_void_p).value

    def sample(self, clock_id: int) -> Sample:
        """Take one sample. Its window is the duration of a vDSO call, about 50 ns."""
        out = (ctypes.c_uint64 * 4)()
        self._sample(ctypes.addressof(out), clock_id, self._clock_gettime)
        return Sample(out[0], out[1] * _SECOND + out[2], out[3])


def doubt_about_tsc(root: Path = Path("/")) -> str:
    """Why the time stamp counter may not run at a constant rate in all frequency and sleep states of the processor;
    empty if it does.

    /proc/cpuinfo must list ``constant_tsc`` and ``nonstop_tsc``. The kernel must not have marked the counter as
    unstable (``tsc_unstable``), and its clock source must be ``tsc``, or a hypervisor's clock that is based on the
    counter. ``root``: the directory that contains proc and sys.
    """
    try:
        missing = sorted(_INVARIANT - _flags(root / "proc/cpuinfo"))
        source = (root / _CLOCK_SOURCE).read_text().strip()
    except OSError as error:
        return f"cannot read {error.filename} ({error.strerror}), so the time stamp counter is not used"
    if missing:
        return f"this processor's time stamp counter is not invariant (/proc/cpuinfo lacks {' and '.join(missing)})"
    if source not in _CLOCK_SOURCES_ON_TSC:
        return f"the kernel does not use the time stamp counter (/{_CLOCK_SOURCE} is {source})"
    return ""


_INVARIANT = {"constant_tsc", "nonstop_tsc"}
_CLOCK_SOURCE = "sys/devices/system/clocksource/clocksource0/current_clocksource"
_CLOCK_SOURCES_ON_TSC = {"tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "xen"}
"""The kernel's clock sources that are the counter itself, or a linear function of the counter."""


def _flags(cpuinfo: Path) -> set[str]:
    with cpuinfo.open() as lines:
        for line in lines:
            if line.startswith("flags"):
                return set(line.partition(":")[2].split())
    return set()
