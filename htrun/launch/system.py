"""Whole machines: the channel is a PCI device of an unmodified ``qemu-system-*``.

The device is QEMU's ``ivshmem-plain`` (``docs/system/devices/ivshmem.rst``). Its BAR 2 is the memory of a file. With
the TCG accelerator, a guest's store to this memory is a store of the QEMU process, like a store of any other emulated
guest. With KVM, the processor makes the store inside the guest, and nothing outside can see it. So under KVM, only
programs that write their records to the channel's rings have events, and the memory of the device includes the rings.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from htrun.channel.ring_layout import EVERY_CLIENT
from htrun.errors import HtrunError
from htrun.launch.system_options import OFF, Option, joined, options, settings

if TYPE_CHECKING:
    from htrun.channel.layout import Layout
    from htrun.channel.ring_layout import RingLayout

_NAME = re.compile(r"qemu-system-[a-z0-9_]+(-[a-z0-9.]+)*")
_OTHER_NAMES = frozenset(["kvm", "qemu-kvm"])
"""Other names under which distributions install qemu-system."""
_KVM = "kvm"
"""The name of an accelerator. If the name of the program ends with it, QEMU tries it before TCG (QEMU's
``configure_accelerators``)."""
_MEMORY_BACKEND, _DEVICE = b"memory-backend-file\0", b"ivshmem-plain\0"
"""Strings in the executable file of QEMU. Every qemu-system contains the first string. The second is present only if
the device is compiled in."""
_WITH_DEVICE = "aarch64, arm, i386, loongarch64, mips64el, ppc, ppc64, riscv32, riscv64, x86_64"
"""The architectures for which Debian's QEMU 7.2 has the device: those with message-signalled interrupts."""
_VCPU = re.compile(r"CPU (\d+)/TCG")
_EVERY_VCPU = "ALL CPUs/TCG"
_TOPOLOGY = ("drawers", "books", "sockets", "dies", "clusters", "modules", "cores", "threads")
"""The settings of ``-smp`` whose product is the number of processors."""
_KVM_MACHINE = "anon_inode:kvm-vm"
"""The target of the link in ``/proc/PID/fd`` that belongs to a machine run by KVM."""
_MEMORY = "hypertrace-channel"
_DRIVER = "hypertrace"
"""The name of the hypertrace device in patched QEMUs.

``-device hypertrace`` can still be used to set the position of the device.
"""
_NO_MACHINE = "none"
"""A machine type without processors or buses. Launchers such as libvirt use it to query the features of QEMU."""
_WITHOUT_PCI = frozenset([_NO_MACHINE, "isapc", "microvm", "xenpv"])
"""Machine types that cannot have the device. QEMU itself rejects other unsuitable types, most of which are boards."""


class Device(NamedTuple):
    """The channel as a device of a machine.

    ``path``: the absolute path of the channel. ``size``: the size of the device's memory in bytes. ``size_with_rings``:
    its size if it includes rings; 0 if the channel has no rings. ``rings_for_all``: whether the memory always includes
    the rings, and not only under KVM.
    """

    path: str
    size: int
    size_with_rings: int = 0
    rings_for_all: bool = False

    @classmethod
    def of(cls, path: str, layout: Layout, rings: RingLayout | None) -> Device:
        """The device of a channel with ``layout`` and ``rings`` (None if it has no rings)."""
        if rings is None:
            return cls(path, layout.total_size)
        device = cls(path, layout.total_size, rings.device_size, rings.mode == EVERY_CLIENT)
        return device._replace(size=device.size_with_rings) if device.rings_for_all else device

    @property
    def memory(self) -> tuple[str, str]:
        """The option that declares the channel's memory to QEMU."""
        words = {
            "qom-type": "memory-backend-file",
            "id": _MEMORY,
            "share": "on",
            "mem-path": self.path,
            "size": str(self.size),
            # With preallocation, QEMU would allocate the memory by a store to each page, as with ``-mem-prealloc``.
            "prealloc": "off",
        }
        return "-object", joined(words, "qom-type")

    def pci(self, placed: dict[str, str] | None = None) -> tuple[str, str]:
        """The option that creates the PCI device. ``placed``: the device's properties that determine its position
        (``addr``, ``bus``, ...)."""
        return "-device", joined({"driver": "ivshmem-plain", "memdev": _MEMORY, **(placed or {})}, "driver")

    @property
    def arguments(self) -> tuple[str, ...]:
        """The words that the device adds to a command line."""
        return (*self.memory, *self.pci())


def is_system_emulator(program: str) -> bool:
    """Whether ``program`` is an emulator of whole machines, or a link to one. ``program``: a path as seen by this
    process."""
    name = os.path.basename(program)
    if _NAME.fullmatch(name):
        return True
    if os.path.islink(program):
        return is_system_emulator(os.path.realpath(program))
    return name in _OTHER_NAMES and _has(program, _MEMORY_BACKEND)


def runs_machine(pid: int) -> bool:
    """Whether process ``pid`` is an emulator of whole machines."""
    executable = f"/proc/{pid}/exe"
    try:
        name = os.path.basename(os.readlink(executable).removesuffix(" (deleted)"))
    except OSError:
        return False
    return _NAME.fullmatch(name) is not None or (name in _OTHER_NAMES and _has(executable, _MEMORY_BACKEND))


def is_virtualized(pid: int) -> bool:
    """Whether KVM runs the machine of the emulator ``pid``. The emulator opens KVM before it maps the memory of
    devices."""
    directory = f"/proc/{pid}/fd"
    # The process may close descriptors meanwhile, or it may be gone.
    with suppress(OSError):
        for name in os.listdir(directory):
            with suppress(FileNotFoundError):
                if os.readlink(f"{directory}/{name}") == _KVM_MACHINE:
                    return True
    return False


def _has(program: str, text: bytes) -> bool:
    """Whether the file ``program`` contains ``text``; false if it cannot be read."""
    import mmap  # Imported only for machines: their start takes longer than the search in the file.

    try:
        with open(program, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as content:
            return content.find(text) >= 0
    except (OSError, ValueError):
        return False


def vcpu_of(comm: str) -> int | None:
    """The number of the virtual processor that QEMU runs in the thread named ``comm``; None if the thread does not run
    exactly one processor.

    The names have the form ``CPU 0/TCG`` (``tcg-accel-ops-mttcg.c``). QEMU names its threads if ``-name
    debug-threads=on`` is given.
    """
    match = _VCPU.fullmatch(comm)
    return int(match[1]) if match else None


def is_shared_by_vcpus(comm: str) -> bool:
    """Whether QEMU runs all virtual processors of a machine alternately in the thread named ``comm``.

    QEMU does so with ``-accel tcg,thread=single`` and with ``-icount`` (``tcg-accel-ops-rr.c``).
    """
    return comm == _EVERY_VCPU


def processors(argv: Sequence[str]) -> int:
    """The number of virtual processors that the machine of a qemu-system command line has at its start.

    Raises ValueError for a number that QEMU would also reject.
    """
    given = list(options(argv))
    counts = {key.removeprefix("smp."): text for key, text in _machine(given).items() if key.startswith("smp.")}
    for option in given:
        if option.name == "smp":
            counts |= settings(option.value, "cpus")
    stated = counts.get("cpus") or counts.get("maxcpus")
    if stated is not None:
        return int(stated, 0)
    return math.prod(int(counts.get(level, "1"), 0) for level in _TOPOLOGY)


def with_device(
    argv: Sequence[str], device: Device, *, add: bool = True, emulator: str | None = None
) -> tuple[str, ...]:
    """``argv``, a command line of qemu-system, changed so that the machine has ``device`` and QEMU names its threads.

    If ``argv`` contains ``-device hypertrace[,addr=...][,bus=...]``, the device takes its place. Otherwise the device
    comes last, so that the other devices keep their positions. If ``argv`` already contains the device (the words of
    `Device.arguments`), the device is not added again. ``add``: False if the user adds the device. ``emulator``: the
    path of the program; None if the program need not be inspected. A command line that only queries QEMU is not
    changed.

    Raises HtrunError if htrun could not see the machine's events.
    """
    given = list(options(argv))
    if any(_asks(option) for option in given):
        return tuple(argv)
    wishes = [option for option in given if option.name == "device" and _driver(option) == _DRIVER]
    present = _backends(given, device.path)
    if _machine(given).get("type") == _NO_MACHINE and not wishes and not present:
        return tuple(argv)
    if _prefers_kvm(given, argv[0] if argv else ""):
        device = _for_kvm(device)
    if wishes and not add:
        raise HtrunError(f"-device {wishes[0].value} and --no-device contradict each other: remove one of them")
    if len(wishes) + len(present) > 1:
        raise HtrunError("a machine can have one hypertrace device, which serves all its processors: leave one out")
    words = list(argv)
    if wishes:
        _check_machine(given, emulator)
        (wish,) = wishes
        words[wish.position : wish.position + 2] = [*device.memory, *device.pci(_placed(wish))]
    elif add and not present:
        _check_machine(given, emulator)
        words += device.arguments
    return (*words, *_thread_names(given))


def uses_device(argv: Sequence[str], device: Device) -> bool:
    """Whether the machine of the command line ``argv`` has ``device``."""
    return bool(_backends(list(options(argv)), device.path))


def _asks(option: Option) -> bool:
    """Whether the option makes QEMU print something and exit."""
    return option.name in ("h", "help", "version") or option.value.split(",")[-1] in ("help", "?")


def _driver(option: Option) -> str | None:
    return settings(option.value, "driver").get("driver")


def _placed(wish: Option) -> dict[str, str]:
    """The properties of the device that the user has set, except those that the channel determines."""
    placed = settings(wish.value, "driver")
    if placed.pop("share", "on") in OFF:
        raise HtrunError(f"-device {wish.value}: the channel must be shared with htrun: remove share=off")
    if "memdev" in placed:
        raise HtrunError(
            f"-device {wish.value}: the channel is the memory of this device, so remove memdev; or use --no-device"
        )
    del placed["driver"]
    return placed


def _backends(given: Sequence[Option], path: str) -> list[Option]:
    """The memory backends whose file is the channel at ``path``."""
    found = []
    for option in given:
        words = settings(option.value, "qom-type") if option.name == "object" else {}
        if "mem-path" not in words or os.path.abspath(words["mem-path"]) != path:
            continue
        if words.get("share", "off") in OFF:
            raise HtrunError(f"-object {option.value}: the channel must be shared with htrun: add share=on")
        found.append(option)
    return found


def _prefers_kvm(given: Sequence[Option], name: str) -> bool:
    """Whether QEMU, if it is started under the name ``name``, tries KVM first, and TCG only if KVM is unavailable.

    QEMU uses the first of the given accelerators that works, and TCG always works. Raises `HtrunError` for other
    accelerators.
    """
    named = [settings(option.value, "accel").get("accel", "") for option in given if option.name == "accel"]
    from_machine = _machine(given).get("accel")
    if from_machine is not None:
        named += from_machine.split(":")
    if any(option.name == "enable-kvm" for option in given):
        named.append(_KVM)
    if not named:
        return name.endswith(_KVM)
    preferred = list(takewhile(lambda each: each != "tcg", named))
    for other in preferred:
        if other != _KVM:
            raise HtrunError(
                f"the accelerator {other} executes the machine's stores where htrun can't see them: use -accel tcg, or "
                "-accel kvm with the guest library"
            )
    return bool(preferred)


def _for_kvm(device: Device) -> Device:
    """``device`` for a machine that KVM runs. Raises `HtrunError` if the channel has no rings."""
    if not device.size_with_rings:
        raise HtrunError(
            "under KVM, htrun can't see the machine's stores, only what the guest library writes to rings: leave out "
            "--via store and --timestamp ordered, or use -accel tcg"
        )
    return device._replace(size=device.size_with_rings)


def _check_machine(given: Sequence[Option], emulator: str | None) -> None:
    if emulator is not None and _has(emulator, _MEMORY_BACKEND) and not _has(emulator, _DEVICE):
        raise HtrunError(
            f"{emulator} has no ivshmem-plain, which is the device that gives the machine access to the channel. "
            f"Debian's QEMU has it for {_WITH_DEVICE}. Use another emulator, or --no-device to run this one "
            "without the channel"
        )
    machine = _machine(given)
    kind = machine.get("type", "")
    if kind in _WITHOUT_PCI and machine.get("pcie", "off") in OFF:
        raise HtrunError(
            f"the machine type {kind} has no PCI bus for the hypertrace device: "
            + ("add pcie=on to it" if kind == "microvm" else "use another, such as q35, pc or virt")
            + ", or use --no-device to run it without the channel"
        )


def _machine(given: Sequence[Option]) -> dict[str, str]:
    """The settings of the machine. If a setting is repeated, the last one applies."""
    machine: dict[str, str] = {}
    for option in given:
        if option.name in ("M", "machine"):
            machine |= settings(option.value, "type")
    return machine


def _thread_names(given: Sequence[Option]) -> tuple[str, ...]:
    """The option that makes QEMU name its threads. QEMU merges it with other ``-name`` options (``merge_lists``)."""
    names = [settings(option.value, "guest") for option in given if option.name == "name"]
    return () if any("debug-threads" in name for name in names) else ("-name", "debug-threads=on")
