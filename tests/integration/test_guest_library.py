"""The guest library without htrun: its code, and its use of a channel that is a plain file. The control region of such
a file is not protected, so the stores that htrun would intercept can be read there.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import subprocess
from pathlib import Path

import pytest

from htrun.channel.layout import CONTROL_OFFSET, EMIT_OFFSET, HELLO_OFFSET, HELLO_VALUE, Layout
from tests.support.requirements import require_tool
from tests.support.targets import AARCH64, FOREIGN_TARGETS, I686, MIPS, NATIVE, S390X, STATIC, Target
from tests.support.toolchain import GUEST_LIBRARY, Toolchain

GUESTS = Path(__file__).parent / "guests"
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
BIG_ENDIAN = (MIPS, S390X)
ROOT_USER = os.geteuid() == 0

# Offsets of header fields (docs/formats.md, "The channel").
VERSION, NUM_ARGS, MAX_CLIENTS, CONTROL, CONTROL_SIZE, DATA, STRIDE, TOTAL = (
    0x08,
    0x0C,
    0x10,
    0x18,
    0x20,
    0x28,
    0x30,
    0x38,
)


def run(command: list[str | Path], **environment: str) -> str:
    """The standard output of a program that succeeds; ``environment`` is added to an environment without a channel."""
    inherited = {name: value for name, value in os.environ.items() if name != "HYPERTRACE"}
    result = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
        env=inherited | environment,
    )
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"
    return result.stdout


def make_channel(path: Path, layout: Layout | None = None, **fields: int) -> Path:
    """A file that is a channel, except for ``fields``: header values by the names of the constants above."""
    layout = layout or Layout()
    header = bytearray(layout.header())
    for name, value in fields.items():
        size = 4 if name in ("VERSION", "NUM_ARGS") else 8
        offset = globals()[name]
        header[offset : offset + size] = value.to_bytes(size, "little")
    with path.open("wb") as file:
        file.write(header)
        file.truncate(layout.total_size)
    return path


def command_for(target: Target, program: Path) -> list[str | Path]:
    """The start of the command line for a program of that target."""
    if not target.emulator:
        return [program]
    return [require_tool(target.emulator, "qemu-user"), "-L", target.sysroot or "/", program]


def guest(toolchain: Toolchain, name: str, target: Target = NATIVE) -> list[str | Path]:
    """The start of the command line for the small program ``name``."""
    return command_for(target, toolchain.compile(GUESTS / f"{name}.c", target))


def init_result(toolchain: Toolchain, *base: Path | str, target: Target = NATIVE, **environment: str) -> str:
    """The result of `qemu_hypertrace_init`: 0 or the name of an errno."""
    first = run([*guest(toolchain, "library_init", target), *base], **environment).splitlines()[0]
    return first.removeprefix("init ")


# The targets and the resulting code


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_it_builds_without_a_warning(tmp_path: Path, compiler: str) -> None:
    require_tool(compiler, compiler)
    build = tmp_path / "build"
    run(["make", "-C", GUEST_LIBRARY, f"CC={compiler}", f"BUILD={build}", f"CFLAGS=-O2 {' '.join(STRICT)}"])
    path = run(["make", "-s", "-C", GUEST_LIBRARY, f"CC={compiler}", f"BUILD={build}", "path"]).strip()
    assert Path(path) == build / "libqemu-hypertrace-guest.a"
    assert Path(path).is_file()


def test_targets_build_side_by_side() -> None:
    archives = set()
    for target in (NATIVE, I686, *FOREIGN_TARGETS):
        require_tool(target.compiler, target.packages)
        make: list[str | Path] = ["make", "-s", "-C", GUEST_LIBRARY, f"CC={target.compiler}"]
        run(make)
        archives.add(Path(run([*make, "path"]).strip()))
    assert all(archive.is_file() for archive in archives)
    assert len(archives) == 2 + len(FOREIGN_TARGETS)


def test_c_libraries_and_machine_modes_build_side_by_side() -> None:
    """All of these are names of the same machine."""
    require_tool("musl-gcc", "musl-tools")
    compilers = ("gcc", "musl-gcc", "gcc -m32", "gcc -mx32")
    assert len({run(["make", "-s", "-C", GUEST_LIBRARY, f"CC={compiler}", "path"]) for compiler in compilers}) == 4


@pytest.mark.parametrize("built_by", ["gcc", "musl-gcc"])
@pytest.mark.parametrize("link", ["-static", "-no-pie"])
def test_programs_of_musl(tmp_path: Path, built_by: str, link: str) -> None:
    """The library that was built for the distribution's C library also works with musl."""
    require_tool("musl-gcc", "musl-tools")
    make: list[str | Path] = ["make", "-s", "-C", GUEST_LIBRARY, f"CC={built_by}", f"BUILD={tmp_path / 'build'}"]
    run(make)
    archive = run([*make, "path"]).strip()
    program = tmp_path / "library_init"
    run(["musl-gcc", link, f"-I{GUEST_LIBRARY}", GUESTS / "library_init.c", archive, "-o", program])
    channel = make_channel(tmp_path / "channel")
    assert run([program, channel]).splitlines()[0] == "init 0"


@pytest.mark.parametrize(
    ("compiler", "options"),
    [
        ("gcc", ["-std=c99"]),
        ("clang", ["-std=c99"]),
        ("gcc", ["-std=c17", "-masm=intel"]),
        ("gcc", ["-x", "c++", "-std=c++11", "-Wold-style-cast"]),
        ("clang", ["-x", "c++", "-std=c++11", "-Wold-style-cast"]),
        ("gcc", ["-x", "c++", "-std=c++20", "-Wold-style-cast"]),
    ],
    ids=" ".join,
)
def test_the_header_is_clean(tmp_path: Path, compiler: str, options: list[str]) -> None:
    require_tool(compiler, compiler)
    for level in ("-O0", "-O2"):
        source = GUESTS / "library_emit.c"
        flags = [level, *STRICT, "-Wconversion", "-Wshadow", f"-I{GUEST_LIBRARY}"]
        run([compiler, *flags, *options, "-c", source, "-o", tmp_path / "emit.o"])


def test_install_and_pkg_config(tmp_path: Path, toolchain: Toolchain) -> None:
    require_tool("pkg-config", "pkg-config")
    stage = tmp_path / "stage"
    run(["make", "-C", GUEST_LIBRARY, f"BUILD={tmp_path / 'build'}", f"DESTDIR={stage}", "PREFIX=/opt/ht", "install"])
    installed = {str(path.relative_to(stage)) for path in stage.rglob("*") if path.is_file()}
    assert installed == {
        "opt/ht/include/qemu-hypertrace.h",
        "opt/ht/lib/cmake/qemu-hypertrace-guest/qemu-hypertrace-guest-config-version.cmake",
        "opt/ht/lib/cmake/qemu-hypertrace-guest/qemu-hypertrace-guest-config.cmake",
        "opt/ht/lib/libqemu-hypertrace-guest.a",
        "opt/ht/lib/pkgconfig/qemu-hypertrace-guest.pc",
    }
    flags = run(
        ["pkg-config", "--cflags", "--libs", "qemu-hypertrace-guest"],
        PKG_CONFIG_PATH=str(stage / "opt/ht/lib/pkgconfig"),
        PKG_CONFIG_SYSROOT_DIR=str(stage),
    )
    program = tmp_path / "program"
    run(["gcc", GUESTS / "library_init.c", "-o", program, *flags.split()])
    assert "init ENOENT" in run([program])


def disassemble(target: Target, compiler: str, level: str, directory: Path) -> dict[str, list[str]]:
    """The instructions of each function of the guest ``library_emit``."""
    require_tool(compiler, target.packages)
    objects = directory / "emit.o"
    run([compiler, level, "-fno-pic", f"-I{GUEST_LIBRARY}", "-c", GUESTS / "library_emit.c", "-o", objects])
    objdump = run([compiler, "-print-prog-name=objdump"]).strip()
    functions: dict[str, list[str]] = {}
    for line in run([objdump, "-d", "-w", objects]).splitlines():
        if label := re.fullmatch(r"[0-9a-f]+ <(\w+)>:", line):
            functions[label[1]] = []
        elif instruction := re.match(r" *[0-9a-f]+:\t([0-9a-f ]+)\t(.*)", line):
            functions[next(reversed(functions))].append(f"{instruction[1].strip()}\t{instruction[2]}")
    return functions


STORES = {
    "native": r"\tmovl? +(%e\w+|\$0x\w+),0x80\(%r\w+\)",
    "i686": r"\tmovl? +(%e\w+|\$0x\w+),0x80\(%e\w+\)",
    "aarch64": r"\tstr\tw\d+, \[x\d+, #128\]",
    "mips": r"\tsw\t\w+,128\(\w+\)",
    "mipsel": r"\tsw\t\w+,128\(\w+\)",
    "riscv64": r"\tsw\t\w+,128\(\w+\)",
    "s390x": r"\t(st\t%r\d+|mvhi\t)",
}


@pytest.mark.parametrize("target", [NATIVE, I686, *FOREIGN_TARGETS], ids=lambda target: target.name)
def test_emitting_is_one_store(tmp_path: Path, target: Target) -> None:
    """The alternative is the call of the function that writes to a ring: loads of two pointers, and a branch."""
    functions = disassemble(target, target.compiler, "-O2", tmp_path)
    for name in ("emit_index", "emit_constant"):
        stores = [line for line in functions[name] if re.search(STORES[target.name], line)]
        assert len(stores) == 1, functions[name]
        assert len(functions[name]) <= 26, functions[name]


@pytest.mark.parametrize("level", ["-O0", "-O1", "-O2", "-Os"])
@pytest.mark.parametrize("compiler", ["gcc", "clang", "i686-linux-gnu-gcc"])
def test_on_x86_a_jump_fits_in_the_place_of_the_store(tmp_path: Path, compiler: str, level: str) -> None:
    target = I686 if compiler.startswith("i686") else NATIVE
    functions = disassemble(target, compiler, level, tmp_path)
    stores = [line for lines in functions.values() for line in lines if re.search(STORES[target.name], line)]
    assert len(stores) == 4
    assert all(len(line.split("\t")[0].split()) >= 6 for line in stores)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_arguments_stay_with_their_event(tmp_path: Path, compiler: str) -> None:
    lines = disassemble(NATIVE, compiler, "-O2", tmp_path)["emit_two"]
    stored = [found[1] for line in lines if (found := re.search(r"\$(0x\w+),\w*\(", line))]
    assert stored == ["0x11", "0x1", "0x22", "0x2"]


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("options", [["-std=c99"], ["-x", "c++", "-std=c++11"]], ids=["C99", "C++11"])
def test_the_library_serves_c_and_cpp(tmp_path: Path, toolchain: Toolchain, compiler: str, options: list[str]) -> None:
    driver = {"gcc": "g++", "clang": "clang++"}[compiler] if "c++" in options else compiler
    require_tool(driver, driver)
    program = tmp_path / "program"
    source = GUESTS / "library_init.c"
    library = toolchain.library(NATIVE)
    run([driver, *options, *STRICT, f"-I{GUEST_LIBRARY}", source, "-x", "none", library, "-o", program])
    assert "init 0" in run([program, make_channel(tmp_path / "channel")])


# Opening a channel


@pytest.mark.parametrize("target", [NATIVE, STATIC, I686, *FOREIGN_TARGETS], ids=lambda target: target.name)
@pytest.mark.parametrize("layout", [Layout(), Layout(num_args=9, max_clients=3)], ids=["default", "small"])
def test_an_event_arrives(tmp_path: Path, toolchain: Toolchain, target: Target, layout: Layout) -> None:
    channel = make_channel(tmp_path / "channel", layout)
    output = run([*guest(toolchain, "library_init", target), channel])
    last = layout.max_clients - 1
    assert output.splitlines() == [
        "init 0",
        f"args {layout.num_args} clients {layout.max_clients}",
        f"client {last}",
        "fini 0",
    ]
    order = ">" if target in BIG_ENDIAN else "<"
    content = channel.read_bytes()
    assert content[: len(layout.header())] == layout.header()
    control = content[CONTROL_OFFSET : CONTROL_OFFSET + 16]
    assert struct.unpack_from(f"{order}I", control, EMIT_OFFSET) == (last,)
    assert struct.unpack_from(f"{order}I", control, HELLO_OFFSET) == (HELLO_VALUE,)
    for index in (0, last):
        args = struct.unpack_from(f"{order}{layout.num_args}Q", content, layout.slot_offset(index))
        assert args == tuple(index * 1000 + arg for arg in range(layout.num_args))


def test_the_environment_names_the_channel(tmp_path: Path, toolchain: Toolchain) -> None:
    channel = make_channel(tmp_path / "channel")
    assert init_result(toolchain, HYPERTRACE=str(channel)) == "0"
    assert init_result(toolchain, HYPERTRACE=str(tmp_path / "nothing")) == "ENOENT"
    assert init_result(toolchain) == "ENOENT"


def test_without_a_channel_every_call_works(toolchain: Toolchain) -> None:
    output = run(guest(toolchain, "library_init"))
    assert output.splitlines() == ["init ENOENT", "args 4 clients 1024", "client 0", "fini 0"]


def test_threads_without_a_channel_store_to_memory_of_their_own(toolchain: Toolchain) -> None:
    """With ThreadSanitizer, which needs an address space without randomisation."""
    program = toolchain.compile(GUESTS / "library_unread.c", flags=("-fsanitize=thread",))
    assert run([require_tool("setarch", "util-linux"), "-R", program]) == "no event\n"


def test_a_link_to_a_memory_file(tmp_path: Path, toolchain: Toolchain) -> None:
    low = os.memfd_create("channel")
    # A descriptor that is not reused after it is closed.
    descriptor = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, 700)
    os.close(low)
    os.ftruncate(descriptor, Layout().total_size)
    os.pwrite(descriptor, Layout().header(), 0)
    link = tmp_path / "channel"
    link.symlink_to(f"/proc/{os.getpid()}/fd/{descriptor}")
    assert init_result(toolchain, link) == "0"
    os.close(descriptor)
    assert init_result(toolchain, link) == "ENOENT"


BAD_HEADERS = {
    "version": ({"VERSION": 2}, "ENOTSUP"),
    "no-arguments": ({"NUM_ARGS": 0}, "EINVAL"),
    "65-arguments": ({"NUM_ARGS": 65}, "EINVAL"),
    "arguments-beyond-the-stride": ({"NUM_ARGS": 9}, "EINVAL"),
    "no-clients": ({"MAX_CLIENTS": 0}, "EINVAL"),
    "clients-beyond-the-end": ({"MAX_CLIENTS": 16384}, "EINVAL"),
    "clients-overflow": ({"MAX_CLIENTS": 1 << 63, "STRIDE": 128}, "EINVAL"),
    "control-over-the-header": ({"CONTROL": 0}, "EINVAL"),
    "control-between-pages": ({"CONTROL": 0x10800}, "EINVAL"),
    "control-over-data": ({"CONTROL_SIZE": 0x20000}, "EINVAL"),
    "no-control": ({"CONTROL_SIZE": 0}, "EINVAL"),
    "control-overflow": ({"CONTROL_SIZE": (1 << 64) - 1}, "EINVAL"),
    "data-before-control": ({"CONTROL": 0x20000, "DATA": 0x10000}, "EINVAL"),
    "data-beyond-the-end": ({"DATA": 1 << 20}, "EINVAL"),
    "data-far-beyond": ({"DATA": (1 << 64) - 0x10000}, "EINVAL"),
    "no-stride": ({"STRIDE": 0}, "EINVAL"),
    "odd-stride": ({"STRIDE": 72}, "EINVAL"),
    "beyond-the-file": ({"TOTAL": 2 << 20}, "EINVAL"),
    "beyond-all-files": ({"TOTAL": (1 << 64) - 1}, "EINVAL"),
}


@pytest.mark.parametrize("target", [NATIVE, MIPS], ids=lambda target: target.name)
@pytest.mark.parametrize("bad", BAD_HEADERS)
def test_a_bad_header_is_refused(tmp_path: Path, toolchain: Toolchain, bad: str, target: Target) -> None:
    fields, expected = BAD_HEADERS[bad]
    channel = make_channel(tmp_path / "channel", Layout(), **fields)
    before = channel.read_bytes()
    assert init_result(toolchain, channel, target=target) == expected
    assert channel.read_bytes() == before


def test_what_is_no_channel_is_refused(tmp_path: Path, toolchain: Toolchain) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"HYPRTRC2".ljust(1 << 20, b"\0"))
    short = tmp_path / "short"
    short.write_bytes(Layout().header()[:63])
    empty = tmp_path / "empty"
    empty.touch()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    expected = {other: "EPROTO", short: "EPROTO", empty: "EPROTO", fifo: "EINVAL", tmp_path: "EISDIR"}
    assert {path: init_result(toolchain, path) for path in expected} == expected
    assert init_result(toolchain, "") == "ENOENT"
    assert init_result(toolchain, "/dev/null") == "EPROTO"


def test_no_permission(tmp_path: Path, toolchain: Toolchain) -> None:
    channel = make_channel(tmp_path / "channel")
    channel.chmod(0o444)
    command = guest(toolchain, "library_init")
    # CAP_DAC_OVERRIDE opens anything.
    drop: list[str | Path] = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all"] if ROOT_USER else []
    assert run([*drop, *command, channel]).startswith("init EACCES")


@pytest.mark.parametrize("descriptors", [3, 4])
def test_no_descriptor_left(tmp_path: Path, toolchain: Toolchain, descriptors: int) -> None:
    """Opening needs two descriptors for a moment. The program is static, since a dynamic loader needs descriptors,
    too."""
    channel = make_channel(tmp_path / "channel")
    program = toolchain.compile(GUESTS / "library_init.c", STATIC)
    limited: list[str | Path] = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", program, channel]
    assert run(limited).startswith("init EMFILE")


def test_a_channel_larger_than_a_32_bit_address_space(tmp_path: Path, toolchain: Toolchain) -> None:
    channel = make_channel(tmp_path / "channel", TOTAL=8 << 30)
    os.truncate(channel, 8 << 30)
    assert init_result(toolchain, channel, target=I686) == "EOVERFLOW"
    assert init_result(toolchain, channel) == "0"


def test_init_and_fini_again(tmp_path: Path, toolchain: Toolchain) -> None:
    channels = [make_channel(tmp_path / name) for name in ("one", "two")]
    assert run([*guest(toolchain, "library_reinit"), *channels]) == "ok\n"


def test_nothing_leaks(tmp_path: Path, toolchain: Toolchain) -> None:
    good = make_channel(tmp_path / "good")
    bad = [
        make_channel(tmp_path / "magic"),
        make_channel(tmp_path / "version", VERSION=2),
        make_channel(tmp_path / "insane", STRIDE=0),
        tmp_path / "nothing",
        tmp_path,
    ]
    bad[0].write_bytes(b"")
    assert run([*guest(toolchain, "library_leak"), good, *bad]) == "ok\n"


# System mode


@pytest.fixture(scope="module")
def pci_guest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A program whose library looks for PCI devices in a directory of the test, and that directory."""
    directory = tmp_path_factory.mktemp("pci")
    devices = directory / "devices"
    program = directory / "program"
    define = f'-DHYPERTRACE_PCI_DEVICES="{devices}"'
    flags = ["-D_GNU_SOURCE", "-D_FILE_OFFSET_BITS=64", define, f"-I{GUEST_LIBRARY}"]
    run(["gcc", *flags, *sorted(GUEST_LIBRARY.glob("*.c")), GUESTS / "library_init.c", "-o", program])
    return program, devices


def make_device(
    devices: Path, address: str, *, vendor: str = "0x1af4", device: str = "0x1110", enable: str = "1"
) -> Path:
    """A device as sysfs shows one; returns the path of its memory, an empty file."""
    directory = devices / address
    directory.mkdir(parents=True)
    (directory / "vendor").write_text(f"{vendor}\n")
    (directory / "device").write_text(f"{device}\n")
    (directory / "enable").write_text(f"{enable}\n")
    resource = directory / "resource2"
    resource.touch()
    return resource


def test_the_pci_device_is_found(pci_guest: tuple[Path, Path], tmp_path: Path) -> None:
    program, devices = pci_guest
    assert run([program]).startswith("init ENOENT")
    make_channel(make_device(devices, "0000:00:01.0", device="0x1111"))
    foreign = make_device(devices, "0000:00:02.0", enable="0")
    foreign.write_bytes(b"\xff" * 4096)
    assert run([program]).startswith("init ENOENT")
    assert (foreign.parent / "enable").read_text() == "0\n"

    other = make_channel(tmp_path / "other", Layout(num_args=7))
    assert "args 7 " in run([program], HYPERTRACE=str(other))
    make_channel(make_device(devices, "0000:00:03.0"), Layout(num_args=5))
    assert run([program], HYPERTRACE=str(other)).splitlines()[:2] == ["init 0", "args 5 clients 1024"]


# Indexes of threads


@pytest.mark.parametrize("target", [NATIVE, AARCH64, S390X], ids=lambda target: target.name)
def test_no_two_threads_have_one_index(tmp_path: Path, toolchain: Toolchain, target: Target) -> None:
    channel = make_channel(tmp_path / "channel")
    processes, threads = 5, 8
    command = [str(word) for word in (*guest(toolchain, "library_clients", target), channel, processes, threads)]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    indexes = []
    for process in running:
        assert process.stdout is not None
        indexes += [int(process.stdout.readline()) for _ in range(processes * threads)]
    for process in running:
        process.communicate(timeout=240)
        assert process.returncode == 0
    count = 2 * processes * threads
    assert sorted(indexes) == list(range(1024 - count, 1024))


@pytest.mark.parametrize("target", [NATIVE, AARCH64, S390X, MIPS, I686], ids=lambda target: target.name)
def test_indexes_become_free_again(tmp_path: Path, toolchain: Toolchain, target: Target) -> None:
    channel = make_channel(tmp_path / "channel", Layout(max_clients=4))
    assert run([*guest(toolchain, "library_release", target), channel]) == "ok\n"


def test_fork_at_any_moment(tmp_path: Path, toolchain: Toolchain) -> None:
    channel = make_channel(tmp_path / "channel")
    assert run([*guest(toolchain, "library_fork"), channel]) == "ok\n"
