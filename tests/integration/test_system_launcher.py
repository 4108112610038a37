"""What htrun makes of the command line of a whole machine: the device it adds, and what it refuses."""

from __future__ import annotations

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

OBJECT = "memory-backend-file,id=hypertrace-channel,share=on,mem-path={channel},size=1048576"
DEVICE = "ivshmem-plain,memdev=hypertrace-channel"
NAMES = ["-name", "debug-threads=on"]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A program by the name of an emulator that prints its arguments, one a line."""
    program = tmp_path / "qemu-system-x86_64"
    source = tmp_path / "arguments.c"
    source.write_text("#include <stdio.h>\nint main(int c, char **v) { while (*++v) puts(*v); return 0; }\n")
    subprocess.run(["gcc", "-o", program, source], check=True)
    return program


def added(htrun: Htrun, placed: str = "") -> list[str]:
    """The arguments that make the device."""
    return ["-object", OBJECT.format(channel=htrun.channel), "-device", DEVICE + placed]


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
    """What is printed, given by hand, is recognised: nothing is added a second time."""
    command = [HTRUN, "--hypertrace", str(htrun.channel), "--print-device"]
    printed = shlex.split(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert printed == added(htrun)
    result = htrun.run(machine, *printed).check()
    assert result.stdout.splitlines() == [*printed, *NAMES]


def test_started_by_a_script(machine: Path, htrun: Htrun) -> None:
    """What a launcher starts gets the device too, and where it can't be had runs without, as it would alone."""
    command = f"{machine} -m 64 -device hypertrace,addr=5; {machine} -accel kvm"
    result = htrun.run("/bin/sh", "-c", command).check()
    assert result.stdout.splitlines() == ["-m", "64", *added(htrun, ",addr=5"), *NAMES, "-accel", "kvm"]


@pytest.mark.parametrize("question", ["-version", "--help", "-h"])
def test_questions_are_left_alone(question: str, machine: Path, htrun: Htrun) -> None:
    assert htrun.run(machine, question).check().stdout.splitlines() == [question]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["-accel", "kvm"], "the accelerator kvm runs"),
        (["-accel", "accel=kvm", "-accel", "tcg"], "the accelerator kvm runs"),
        (["-enable-kvm"], "the accelerator kvm runs"),
        (["--enable-kvm"], "the accelerator kvm runs"),
        (["-machine", "q35,accel=kvm:tcg"], "the accelerator kvm runs"),
        (["-M", "accel=xen"], "the accelerator xen runs"),
        (["-M", "microvm"], "the machine type microvm has no PCI bus for the hypertrace device: add pcie=on"),
        (["-machine", "type=isapc"], "the machine type isapc has no PCI bus"),
        (["-M", "none"], "the machine type none has no PCI bus"),
        (["-device", "hypertrace", "-device", "hypertrace,addr=5"], "a machine can have one hypertrace device"),
        (["-device", "hypertrace,share=off"], "the channel must be shared with htrun: leave share=off away"),
        (["-device", "hypertrace,memdev=m"], "its memory is the channel: leave memdev away"),
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
    """Each that QEMU's help lists is known as such: else the option behind it would pass for its value."""
    qemu = require_tool(name, "qemu-system-x86 qemu-system-arm")
    told = subprocess.run([qemu, "-help"], check=True, capture_output=True, text=True).stdout
    # An option's value follows it after one space, its description in a column of its own; -dtb's value does so too.
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
