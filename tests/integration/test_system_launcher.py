"""How htrun changes the command line of a whole machine: the device that it adds, and the options that it rejects."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from htrun.errors import ExitCode
from htrun.launch.system import is_shared_by_vcpus, processors, vcpu_of
from htrun.launch.system_options import options
from tests.support.requirements import require_tool
from tests.support.run import HTRUN, Htrun
from tests.support.toolchain import Toolchain

OBJECT = "memory-backend-file,id=hypertrace-channel,share=on,mem-path={channel},size=1048576,prealloc=off"
DEVICE = "ivshmem-plain,memdev=hypertrace-channel"
NAMES = ["-name", "debug-threads=on"]
WITHOUT_RINGS, WITH_RINGS = 1 << 20, 256 << 20
"""Bytes of the device's memory."""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A program with the name of an emulator that prints its arguments, one per line."""
    program = tmp_path / "qemu-system-x86_64"
    source = tmp_path / "arguments.c"
    source.write_text("#include <stdio.h>\nint main(int c, char **v) { while (*++v) puts(*v); return 0; }\n")
    subprocess.run(["gcc", "-o", program, source], check=True)
    return program


def added(htrun: Htrun, placed: str = "", *, size: int = WITHOUT_RINGS) -> list[str]:
    """The arguments that add the device."""
    memory = OBJECT.format(channel=htrun.channel).replace(str(WITHOUT_RINGS), str(size))
    return ["-object", memory, "-device", DEVICE + placed]


@pytest.mark.parametrize(
    "given",
    [
        [],
        ["-accel", "tcg,thread=multi", "-M", "q35,accel=tcg", "disk.img"],
        ["-append", "console=ttyS0 -device hypertrace", "-M", "virt"],
        ["-M", "microvm,pcie=on"],
        ["-M", "accel=kvm", "-machine", "accel=tcg:kvm"],
        ["-device", "virtio-rng-pci", "-name", "guest=mine"],
    ],
)
def test_device_added_behind_all_others(given: list[str], machine: Path, htrun: Htrun) -> None:
    result = htrun.run(machine, *given).check()
    assert result.stdout.splitlines() == [*given, *added(htrun), *NAMES]


@pytest.mark.parametrize(
    "given",
    [
        ["-accel", "kvm"],
        ["-accel", "accel=kvm", "-accel", "tcg"],
        ["-enable-kvm"],
        ["--enable-kvm", "-M", "q35"],
        ["-machine", "q35,accel=kvm:tcg"],
    ],
)
def test_a_machine_under_kvm_sees_rings(given: list[str], machine: Path, htrun: Htrun) -> None:
    result = htrun.run(machine, *given, options=("--via", "auto")).check()
    assert result.stdout.splitlines() == [*given, *added(htrun, size=WITH_RINGS), *NAMES]
    assert result.stderr == ""


def test_rings_for_every_machine(machine: Path, htrun: Htrun) -> None:
    """The device with --via ring. By default, a translated machine emits by stores, and sees no rings."""
    with_rings = htrun.run(machine, options=("--via", "ring")).check()
    assert with_rings.stdout.splitlines() == [*added(htrun, size=WITH_RINGS), *NAMES]
    without = htrun.run(machine, options=("--via", "auto")).check()
    assert without.stdout.splitlines() == [*added(htrun), *NAMES]


@pytest.mark.parametrize(("size", "expected"), [("64K", 64 << 20), ("16M", 256 << 20)])
def test_size_of_a_device_with_rings(size: str, expected: int, machine: Path, htrun: Htrun) -> None:
    result = htrun.run(machine, options=("--via", "ring", "--ring-size", size)).check()
    assert result.stdout.splitlines() == [*added(htrun, size=expected), *NAMES]


@pytest.mark.parametrize(
    ("wish", "placed"),
    [
        ("hypertrace", ""),
        ("hypertrace,addr=5", ",addr=5"),
        ("driver=hypertrace,bus=pci.1,addr=0x3", ",bus=pci.1,addr=0x3"),
        ("hypertrace,share=on,id=a,,b", ",id=a,,b"),
        ('{"driver": "hypertrace", "addr": 5, "multifunction": true}', ",addr=5,multifunction=on"),
    ],
)
def test_device_placed_by_hand(wish: str, placed: str, machine: Path, htrun: Htrun) -> None:
    result = htrun.run(machine, "-m", "64", "--device", wish, "-S").check()
    assert result.stdout.splitlines() == ["-m", "64", *added(htrun, placed), "-S", *NAMES]


def test_larger_channel(machine: Path, tmp_path: Path) -> None:
    """The device is as large as the channel; a comma in its path is written twice."""
    channel = str(tmp_path / "a,b")
    option = channel.replace(",", ",,") + ",max-clients=65536"
    done = subprocess.run([HTRUN, "--hypertrace", option, machine], check=True, capture_output=True, text=True)
    memory = OBJECT.format(channel=channel.replace(",", ",,"))
    assert done.stdout.splitlines()[1] == memory.replace("1048576", "8388608")


def test_no_device(machine: Path, htrun: Htrun) -> None:
    result = htrun.run(machine, "-m", "64", options=("--no-device",)).check()
    assert result.stdout.splitlines() == ["-m", "64", *NAMES]


def test_user_keeps_threads_unnamed(machine: Path, htrun: Htrun) -> None:
    result = htrun.run(machine, "-name", "mine,debug-threads=off").check()
    assert result.stdout.splitlines() == ["-name", "mine,debug-threads=off", *added(htrun)]


def test_printed_device_is_the_device(machine: Path, htrun: Htrun) -> None:
    """If the user passes the printed arguments, htrun recognises them and does not add them again."""
    command: list[str | Path] = [HTRUN, "--hypertrace", str(htrun.channel), "--print-device"]
    printed = shlex.split(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert printed == added(htrun)
    result = htrun.run(machine, *printed).check()
    assert result.stdout.splitlines() == [*printed, *NAMES]
    command.insert(1, "--via=ring")
    printed = shlex.split(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert printed == added(htrun, size=WITH_RINGS)


def test_started_by_a_script(machine: Path, htrun: Htrun) -> None:
    """A machine that a launcher starts also gets the device. If that is impossible, it runs without the device, as
    without htrun."""
    command = f"{machine} -m 64 -device hypertrace,addr=5; {machine} -accel xen"
    result = htrun.run("/bin/sh", "-c", command).check()
    assert result.stdout.splitlines() == ["-m", "64", *added(htrun, ",addr=5"), *NAMES, "-accel", "xen"]
    (line,) = result.stderr.splitlines()
    assert (
        "starts a machine without the hypertrace device, so its events are not recorded: the accelerator xen executes"
        in line
    )
    assert result.summary["warnings"] == {"no-device": 1}


@pytest.mark.parametrize(
    "question",
    [
        ["-version"],
        ["--help"],
        ["-h"],
        ["-accel", "kvm", "-cpu", "help"],
        ["-M", "?"],
        ["-enable-kvm", "-device", "virtio-net-pci,help"],
        # libvirt's, virQEMUCapsInitQMP.
        ["-S", "-no-user-config", "-nodefaults", "-nographic", "-machine", "none,accel=kvm:tcg", "-daemonize"],
    ],
)
def test_questions_are_left_alone(question: list[str], machine: Path, htrun: Htrun) -> None:
    result = htrun.run(machine, *question).check()
    assert (result.stdout.splitlines(), result.stderr) == (question, "")


def arguments(path: Path, *texts: str) -> Path:
    """A program that prints its arguments, and contains ``texts`` like the names of devices in QEMU."""
    data = "".join(f'"{text}\\0"' for text in texts)
    code = f"#include <stdio.h>\nconst char texts[] = {data};\n"
    source = path.with_suffix(".c")
    source.write_text(code + "int main(int c, char **v) { while (*++v) puts(*v); return 0; }\n")
    subprocess.run(["gcc", "-o", path, source], check=True)
    return path


@pytest.mark.parametrize("name", ["kvm", "qemu-kvm", "my-machine"])
@pytest.mark.parametrize("by_script", [False, True], ids=["named", "by a script"])
def test_links_to_an_emulator(name: str, by_script: bool, machine: Path, htrun: Htrun, tmp_path: Path) -> None:
    middle, link = tmp_path / "middle", tmp_path / name
    middle.symlink_to(machine)
    link.symlink_to(middle)
    words = ["/bin/sh", "-c", '"$0" "$@"; exit $?', link] if by_script else [link]
    result = htrun.run(*words, "-accel", "tcg").check()
    assert result.stdout.splitlines() == ["-accel", "tcg", *added(htrun), *NAMES]


def test_emulators_by_other_names(htrun: Htrun, tmp_path: Path) -> None:
    """Launchers that prefer KVM. A program that only has the name of an emulator is not treated as one."""
    emulator = arguments(tmp_path / "qemu-kvm", "memory-backend-file", "ivshmem-plain")
    result = htrun.run(emulator, "-accel", "tcg").check()
    assert result.stdout.splitlines() == ["-accel", "tcg", *added(htrun), *NAMES]
    refused = htrun.run(emulator, "-m", "64")
    assert refused.status == ExitCode.OWN_FAILURE
    assert "under KVM, htrun can't see the machine's stores" in refused.stderr
    result = htrun.run(emulator, "-m", "64", options=("--via", "auto")).check()
    assert result.stdout.splitlines() == ["-m", "64", *added(htrun, size=WITH_RINGS), *NAMES]
    other = arguments(tmp_path / "kvm", "something")
    assert htrun.run(other, "-m", "64").check().stdout.splitlines() == ["-m", "64"]


def test_an_emulator_without_the_device(htrun: Htrun, tmp_path: Path) -> None:
    """Like the emulators for MIPS, s390x and SPARC, and Debian's emulator for microvm machines."""
    emulators = [
        arguments(tmp_path / "qemu-system-mips", "memory-backend-file", "virtio-net-pci"),
        require_tool("qemu-system-x86_64-microvm", "qemu-system-x86"),
    ]
    for emulator in emulators:
        result = htrun.run(emulator, "-M", "malta")
        assert result.status == ExitCode.OWN_FAILURE
        assert result.stderr.startswith(f"htrun: {emulator} has no ivshmem-plain, ")
    result = htrun.run(emulators[0], "-M", "malta", options=("--no-device",)).check()
    assert result.stdout.splitlines() == ["-M", "malta", *NAMES]
    result = htrun.run("/bin/sh", "-c", '"$0" -M malta; exit $?', emulators[0]).check()
    assert result.stdout.splitlines() == ["-M", "malta"]
    assert result.summary["warnings"] == {"no-device": 1}


MACHINE = "qemu-system-x86_64 -accel tcg -nodefaults -display none -S"
HAS_DEVICE = "1af4:1110"


def monitored(machine: str) -> str:
    """A shell's command that starts a machine and prints its PCI devices."""
    return f"(echo info pci; echo quit) | {machine} -monitor stdio | tr -d '\\r'"


def test_machines_one_after_the_other(htrun: Htrun) -> None:
    require_tool("qemu-system-x86_64", "qemu-system-x86")
    result = htrun.run("/bin/sh", "-c", f"{monitored(MACHINE)}; {monitored(MACHINE)}").check()
    assert result.stdout.count(HAS_DEVICE) == 2
    assert (result.stderr, result.summary["warnings"]) == ("", {})


def test_one_machine_at_a_time(htrun: Htrun, tmp_path: Path) -> None:
    """The kernels of two machines would choose the same indexes."""
    require_tool("qemu-system-x86_64", "qemu-system-x86")
    pid = tmp_path / "pid"
    script = f"{MACHINE} -daemonize -pidfile {pid} && {{ {monitored(MACHINE)}; kill $(cat {pid}); }}"
    result = htrun.run("/bin/sh", "-c", script).check()
    assert "PCI device" in result.stdout
    assert HAS_DEVICE not in result.stdout
    (line,) = result.stderr.splitlines()
    assert "start this machine under another htrun" in line
    assert result.summary["warnings"] == {"no-device": 1}


HOLDER = """
#include <qemu-hypertrace.h>
#include <stdio.h>

int main(void)
{
    if (qemu_hypertrace_init(NULL) != 0) {
        return 1;
    }
    puts("open");
    fclose(stdout);
    return getchar() == EOF ? 0 : 2;
}
"""


def test_a_machine_beside_a_program(toolchain: Toolchain, htrun: Htrun, tmp_path: Path) -> None:
    """Neither machine knows the indexes that the other machine uses."""
    require_tool("qemu-system-x86_64", "qemu-system-x86")
    holder = toolchain.compile_text(HOLDER, "holder")
    up, down = tmp_path / "up", tmp_path / "down"
    os.mkfifo(up)
    os.mkfifo(down)
    script = f"{holder} <{down} >{up} & exec 3>{down}; cat {up}; {monitored(MACHINE)}; exec 3>&-; wait"
    result = htrun.run("/bin/sh", "-c", script).check()
    assert HAS_DEVICE in result.stdout
    (line,) = result.stderr.splitlines()
    assert "share the channel, and one of them is a machine" in line
    assert result.summary["warnings"] == {"shared-channel": 1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["-accel", "kvm"], "under KVM, htrun can't see the machine's stores"),
        (["-enable-kvm"], "under KVM, htrun can't see the machine's stores"),
        (["-M", "accel=xen"], "the accelerator xen executes"),
        (["-accel", "kvm", "-accel", "hvf"], "the accelerator hvf executes"),
        (["-M", "microvm"], "the machine type microvm has no PCI bus for the hypertrace device: add pcie=on"),
        (["-machine", "type=isapc"], "the machine type isapc has no PCI bus"),
        (["-M", "none", "-device", "hypertrace"], "the machine type none has no PCI bus"),
        (["-device", "hypertrace", "-device", "hypertrace,addr=5"], "a machine can have one hypertrace device"),
        (["-device", "hypertrace,share=off"], "the channel must be shared with htrun: remove share=off"),
        (["-device", "hypertrace,memdev=m"], "the channel is the memory of this device, so remove memdev"),
        (["-object", "memory-backend-file,id=m,mem-path={channel},size=1M"], "must be shared with htrun: add share=on"),
        (["-device", "hypertrace", "-object", OBJECT], "a machine can have one hypertrace device"),
    ],
)
def test_refused(given: list[str], message: str, machine: Path, htrun: Htrun) -> None:
    result = htrun.run(machine, *(word.replace("{channel}", str(htrun.channel)) for word in given))
    assert result.status == ExitCode.OWN_FAILURE
    (line,) = result.stderr.splitlines()
    assert line.startswith("htrun: ")
    assert message in line
    assert result.stdout == ""
    assert not result.channel.is_symlink()


def test_wish_against_no_device_refused(machine: Path, htrun: Htrun) -> None:
    result = htrun.run(machine, "-device", "hypertrace", options=("--no-device",))
    assert result.status == ExitCode.OWN_FAILURE
    assert "--no-device" in result.stderr


@pytest.mark.parametrize("name", ["qemu-system-x86_64", "qemu-system-aarch64"])
def test_options_without_a_value(name: str) -> None:
    """Each option with a value in QEMU's help is known: otherwise the option after it would be mistaken for its
    value."""
    qemu = require_tool(name, "qemu-system-x86 qemu-system-arm")
    told = subprocess.run([qemu, "-help"], check=True, capture_output=True, text=True).stdout
    # The value of an option follows after one space, and the description is in a separate column. For -dtb, the value
    # is also in that column.
    listed = set(re.findall(r"^--?([\w-]+)(?: {2,}.*)?$", told, re.MULTILINE)) - {"dtb"}
    assert len(listed) > 20
    for option in listed:
        assert [found.name for found in options(["qemu", f"-{option}", "-device", "x"])] == [option, "device"]


def test_print_device_without_a_path() -> None:
    done = subprocess.run([HTRUN, "--print-device"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (ExitCode.OWN_FAILURE, "")
    assert done.stderr == "htrun: --print-device needs the channel's path: give --hypertrace PATH\n"


def test_numbers_of_processors() -> None:
    assert [vcpu_of(name) for name in ("CPU 0/TCG", "CPU 255/TCG")] == [0, 255]
    assert [vcpu_of(name) for name in ("ALL CPUs/TCG", "CPU 0/KVM", "qemu-system-x86", "")] == [None] * 4


def test_thread_of_all_processors() -> None:
    assert is_shared_by_vcpus("ALL CPUs/TCG")
    assert not is_shared_by_vcpus("CPU 0/TCG")


@pytest.mark.parametrize(
    ("given", "count"),
    [
        ("", 1),
        ("-smp 2", 2),
        ("-smp cpus=0x4,maxcpus=8", 4),
        ("-smp maxcpus=8", 8),
        ("-smp sockets=2,cores=3,threads=2", 12),
        ("-smp 2 -smp 3", 3),
        ("-machine q35,smp.cpus=5", 5),
        ("-M smp.cores=2,smp.threads=2 -append -smp", 4),
    ],
)
def test_count_of_processors(given: str, count: int) -> None:
    assert processors(["qemu-system-x86_64", *given.split()]) == count
