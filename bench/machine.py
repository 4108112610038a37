"""The properties of this machine that influence figures."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from pathlib import Path

import psutil

_PROGRAMS = {
    "gcc": ("gcc", "--version"),
    "qemu-user": ("qemu-x86_64", "--version"),
    "lttng": ("lttng", "--version"),
    "babeltrace2": ("babeltrace2", "--version"),
}
_GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def facts() -> dict[str, str]:
    """The properties by name: the processor, the kernel, the memory, the load at the start of the run, and the versions
    of all programs involved."""
    usable = len(os.sched_getaffinity(0))
    found = {
        "processor": f"{_cpuinfo('model name')}, {usable} of {psutil.cpu_count()} processors usable",
        "virtual machine": "yes" if "hypervisor" in _cpuinfo("flags").split() else "no",
        "governor": _GOVERNOR.read_text().strip() if _GOVERNOR.exists() else "none",
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "load": f"{os.getloadavg()[0]:.2f}",
        "kernel": f"{platform.system()} {platform.release()}",
        "distribution": platform.freedesktop_os_release().get("PRETTY_NAME", "unknown"),
        "python": platform.python_version(),
        "commit": _first_line("git", "describe", "--always", "--dirty"),
    }
    return found | {name: _first_line(*command) for name, command in _PROGRAMS.items()}


def _cpuinfo(key: str) -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return "unknown"


def _first_line(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return "not installed"
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return next(iter(done.stdout.splitlines()), "unknown")
