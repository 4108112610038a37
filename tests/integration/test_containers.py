"""htrun as process 1 of a PID namespace, as with ``docker run IMAGE htrun ...``, and below another process 1."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.requirements import missing
from tests.support.run import HTRUN, IGNORING_CHILDREN, tracer_of
from tests.support.toolchain import Toolchain

SECONDS = 240
MOST_TRAPS = 30
"""The number of events of three processes whose sites are patched."""
GUEST = """
#include <qemu-hypertrace.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc < 2 || qemu_hypertrace_init(NULL)) {
        return 1;
    }
    for (int i = atoi(argv[1]); i > 0; i--) {
        qemu_hypertrace(0);
    }
    return argc > 2 ? atoi(argv[2]) : 0;
}
"""

PROFILE = """
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DENY(call, error) \\
    BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (error))

/* Denies to the program argv[1] what a container without further capabilities is denied. */
int main(int argc, char **argv)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        DENY(bpf, EPERM), DENY(clone3, ENOSYS), DENY(kcmp, EPERM), DENY(mount, EPERM), DENY(perf_event_open, EPERM),
        DENY(pidfd_getfd, EPERM), DENY(process_madvise, EPERM), DENY(setns, EPERM), DENY(unshare, EPERM),
        DENY(userfaultfd, EPERM), DENY(mbind, EPERM), DENY(set_mempolicy, EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};
    if (argc < 2 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program)) {
        return 98;
    }
    execv(argv[1], argv + 1);
    return 99;
}
"""
"""The part of Docker's seccomp profile that matters here (profiles/seccomp/default.json of moby, 2023)."""


@pytest.fixture
def container() -> list[str]:
    """The start of a command line: the rest of it becomes process 1 of a namespace, and root in it."""
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        command += ["--user", "--map-root-user"]
    if subprocess.run([*command, "true"], capture_output=True).returncode != 0:
        missing("the right to make PID namespaces")
    return command


@pytest.fixture
def guest(toolchain: Toolchain) -> Path:
    """A program whose first argument is the number of events that it emits, and whose second argument is its exit
    status (default: 0)."""
    return toolchain.compile_text(GUEST, "contained")


def traced(directory: Path) -> list[str | Path]:
    """htrun with its log and summary in ``directory``; the program follows."""
    return [HTRUN, "-D", directory / "log", "--summary", directory / "summary"]


def recorded(summary: Path) -> tuple[int, int]:
    """The number of events and the exit status of a run."""
    told = json.loads(summary.read_text())
    assert told["lost"] == 0
    return told["events"], told["exit_status"]


@pytest.mark.parametrize("below", [[], ["sh", "-c", '"$@"; exit $?', "sh"]], ids=["process 1", "below a shell"])
def test_nothing_is_lost(below: list[str], container: list[str], guest: Path, tmp_path: Path) -> None:
    done = subprocess.run([*container, *below, *traced(tmp_path), guest, "100000", "7"], timeout=SECONDS)
    assert done.returncode == 7
    assert recorded(tmp_path / "summary") == (100_000, 7)
    assert len((tmp_path / "log").read_text().splitlines()) == 100_000


def test_started_with_the_ends_of_children_ignored(container: list[str], guest: Path, tmp_path: Path) -> None:
    command = [*container, *IGNORING_CHILDREN, *traced(tmp_path), guest, "1000", "7"]
    assert subprocess.run(command, timeout=SECONDS).returncode == 7
    assert recorded(tmp_path / "summary") == (1000, 7)


@pytest.mark.parametrize("via", ["store", "auto"])
def test_under_dockers_seccomp_profile(
    via: str, container: list[str], guest: Path, toolchain: Toolchain, tmp_path: Path
) -> None:
    """Processes, rings or patched sites, and recorded calls work as usual."""
    profile = toolchain.compile_text(PROFILE, "profile")
    htrun = [*traced(tmp_path), "--syscalls", "getpid", "--via", via]
    script = '"$0" 3000 & "$0" 3000 && wait && exec "$0" 3000 6'
    done = subprocess.run([*container, profile, *htrun, "sh", "-c", script, guest], timeout=SECONDS)
    assert done.returncode == 6
    told = json.loads((tmp_path / "summary").read_text())
    assert (told["kinds"]["guest_hypertrace"], told["lost"], told["warnings"]) == (9000, 0, {})
    emitting = [site for site in told["sites"] if site["events"]]
    assert all(site["patched"] for site in emitting)
    assert (len(emitting), told["ring_events"]) == ((3, 0) if via == "store" else (0, 9000))


def test_orphans_are_taken_in_and_waited_for(container: list[str], guest: Path, tmp_path: Path) -> None:
    program: list[str | Path] = ["sh", "-c", '("$0" 1000; exec "$0" 20) & exit 3', guest]
    done = subprocess.run([*container, *traced(tmp_path), *program])
    assert done.returncode == 3
    assert recorded(tmp_path / "summary") == (1020, 3)


def test_a_death_by_a_signal_is_told_as_shells_do(container: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*container, HTRUN, "--summary", tmp_path / "summary", "sh", "-c", "kill -USR1 $$"])
    assert done.returncode == 128 + signal.SIGUSR1
    assert recorded(tmp_path / "summary") == (0, -signal.SIGUSR1)


def test_a_failure_of_htrun_is_told(container: list[str]) -> None:
    done = subprocess.run([*container, HTRUN, "no-such-program"], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (127, "htrun: no-such-program: no such program in PATH\n")


def test_signals_are_passed_on(container: list[str], guest: Path, tmp_path: Path) -> None:
    """Like the signal that ``docker stop`` sends."""
    script = """trap '"$0" 5 9; exit $?' TERM; echo ready; read never"""
    command = [*container, *traced(tmp_path), "sh", "-c", script, guest]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as unshare:
        assert unshare.stdout is not None
        assert unshare.stdout.readline() == "ready\n"
        os.kill(child_of(unshare.pid), signal.SIGTERM)
        assert unshare.wait(SECONDS) == 9
    assert recorded(tmp_path / "summary") == (5, 9)


def test_pipes_end_when_the_program_closes_them(container: list[str], tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # The shell executes htrun, so that no other process has the pipe.
    program: list[str | Path] = ["sh", "-c", 'exec "$@" >"$0"', pipe, HTRUN, "sh", "-c", "exec >&-; read line; exit 4"]
    with subprocess.Popen([*container, *program], stdin=subprocess.PIPE) as unshare:
        assert pipe.read_text() == ""
        unshare.communicate(b"go\n", SECONDS)
        assert unshare.returncode == 4


@pytest.mark.parametrize("killed", [False, True], ids=["alive", "killed"])
def test_private_channels_beside_those_of_a_container(killed: bool, container: list[str], tmp_path: Path) -> None:
    """The container shares the directory but not the process ids, so links to current runs seem to be dangling."""
    environment = os.environ | {"TMPDIR": str(tmp_path), "XDG_RUNTIME_DIR": ""}
    command: list[str | Path] = [HTRUN, "-q", "sh", "-c", "echo ready; read line; test -e $HYPERTRACE"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as outside:
        assert outside.stdout is not None
        assert outside.stdout.readline() == "ready\n"
        if killed:
            os.kill(tracer_of(outside.pid), signal.SIGKILL)
            assert outside.wait(SECONDS) == -signal.SIGKILL
        subprocess.run([*container, HTRUN, "-q", "true"], env=environment, check=True, timeout=SECONDS)
        assert len(list(tmp_path.iterdir())) == (0 if killed else 1)
        if not killed:
            outside.communicate("go\n", SECONDS)
            assert outside.returncode == 0
    assert list(tmp_path.iterdir()) == []


OTHERS = {
    "user namespace": ["unshare", "--user"],
    "PID namespace and /proc": ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"],
    "mount namespace": ["unshare", "--user", "--map-root-user", "--mount"],
    "user": ["runuser", "-u", "nobody", "--"],
}
"""Commands that start a program for which a link into htrun's /proc may be dangling."""


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that all users can enter, in a parent directory that all users can enter."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o755)
        yield Path(name)


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("named", [False, True], ids=["its own path", "a path"])
def test_a_program_of_others(other: str, named: bool, guest: Path, public: Path) -> None:
    """It finds the channel, both after a program that could open the path and at the same time as such a program."""
    if subprocess.run([*OTHERS[other], "true"], capture_output=True).returncode != 0:
        missing(f"the right to start programs of another {other}")
    program = public / "guest"
    shutil.copy(guest, program)
    program.chmod(0o755)
    options: list[str | Path] = ["--hypertrace", public / "channel"] if named else []
    script = '"$0" 3000 && "$@" "$0" 2000 && "$0" 1000 4'
    files: list[str | Path] = ["-D", public / "log", "--summary", public / "summary"]
    environment = os.environ | {"TMPDIR": str(public), "XDG_RUNTIME_DIR": ""}
    command: list[str | Path] = [HTRUN, *options, *files, "sh", "-c", script, program, *OTHERS[other]]
    done = subprocess.run(command, env=environment, timeout=SECONDS)
    assert done.returncode == 4
    assert recorded(public / "summary") == (6000, 4)
    # The memory for patches is passed to it, since it cannot open the file.
    assert json.loads((public / "summary").read_text())["traps"] < MOST_TRAPS
    assert len((public / "log").read_text().splitlines()) == 6000
    assert sorted(public.iterdir()) == [public / "guest", public / "log", public / "summary"]


def test_a_program_of_others_that_cannot_come_to_the_channel(guest: Path, public: Path) -> None:
    """The user cannot enter the directory."""
    closed = public / "closed"
    closed.mkdir(0o700)
    if os.geteuid() != 0:
        missing("the right to start programs of another user")
    command: list[str | Path] = [HTRUN, "--hypertrace", closed / "channel", *OTHERS["user"], "sh", "-c", "exit 3"]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=SECONDS)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert f"can't enter {closed}" in line
    assert "--hypertrace PATH" in line


def test_a_container_without_a_proc_of_its_own(guest: Path, container: list[str], tmp_path: Path) -> None:
    """In this case htrun cannot see the program, so it does not start it."""
    without = [word for word in container if word != "--mount-proc"]
    done = subprocess.run([*without, HTRUN, guest, "10"], capture_output=True, text=True, timeout=SECONDS)
    assert (done.returncode, done.stdout) == (125, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("htrun: /proc is not mounted, or is that of another process id namespace")


def child_of(process: int) -> int:
    """The only child of a process."""
    [child] = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return int(child)
