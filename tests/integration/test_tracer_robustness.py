"""The tracer under unusual circumstances: the state that it inherits, the resources that it uses, and the state that it
must not change."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.support.run import HTRUN, IGNORING_CHILDREN, Htrun, LogEvent, tell_to_end, tracer_of
from tests.support.targets import I686, NATIVE, Target
from tests.support.toolchain import Toolchain
from tests.support.waiting import wait_until

_GUESTS = Path(__file__).parent / "guests"


LIMITED = """
#include <qemu-hypertrace.h>
#include <stdio.h>
#include <sys/resource.h>
int main(void)
{
    struct rlimit limit;
    if (qemu_hypertrace_init(NULL) != 0)
        return 1;
    for (int i = 0; i < 1000; i++)
        qemu_hypertrace(0);
    getrlimit(RLIMIT_FSIZE, &limit);
    printf("%lu\\n", (unsigned long)limit.rlim_cur);
    return 0;
}
"""

SECRETIVE = """
#include <qemu-hypertrace.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
static void emit_times(int times)
{
    while (times-- > 0)
        qemu_hypertrace(0);
}
int main(int argc, char **argv)
{
    if (argc > 1 && argv[1] && prctl(PR_SET_DUMPABLE, 0) != 0)
        return 1;
    if (qemu_hypertrace_init(NULL) != 0)
        return 2;
    emit_times(10);
    if (prctl(PR_SET_DUMPABLE, 0) != 0)
        return 3;
    pid_t child = fork();
    if (child == 0) {
        emit_times(200);
        _exit(prctl(PR_GET_DUMPABLE));
    }
    emit_times(300);
    int status = -1;
    printf("%d\\n", waitpid(child, &status, 0) == child && status == 0 ? child : -1);
    return 0;
}
"""


def unprivileged() -> list[str]:
    """The start of a command line that drops root's privileges, if the test runs as root."""
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []


def test_a_child_of_a_process_that_nobody_may_look_into(toolchain: Toolchain, htrun: Htrun) -> None:
    """Its events are not recorded as events of its parent, and it is not dumpable, as without htrun."""
    program = toolchain.compile_text(SECRETIVE, "secretive")
    command = [*unprivileged(), *htrun.command(), str(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    events = Counter(line.split("@")[0] for line in (htrun.directory / "log").read_text().splitlines())
    child = done.stdout.strip()
    assert events.pop(child) == 200
    assert list(events.values()) == [310]


LATER_SECRETIVE = """
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <qemu-hypertrace.h>
int main(void)
{
    if (qemu_hypertrace_init(NULL) != 0)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        if (prctl(PR_SET_DUMPABLE, 0) != 0)
            _exit(3);
        for (int i = 0; i < 200; i++)
            qemu_hypertrace(0);
        _exit(prctl(PR_GET_DUMPABLE));
    }
    int status = -1;
    return waitpid(child, &status, 0) != child || status != 0;
}
"""


@pytest.mark.parametrize("privileged", [True, False])
def test_a_child_that_nobody_may_look_into_any_more(toolchain: Toolchain, htrun: Htrun, privileged: bool) -> None:
    """htrun has opened the child's memory before, unless htrun may open any memory."""
    program = toolchain.compile_text(LATER_SECRETIVE, "later-secretive")
    command = [*([] if privileged else unprivileged()), *htrun.command("--via", "store"), str(program)]
    subprocess.run(command, capture_output=True, timeout=240, check=True)
    assert len((htrun.directory / "log").read_text().splitlines()) == 200


def test_a_process_that_nobody_may_look_into_is_told_of(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile_text(SECRETIVE, "secretive")
    command = [*unprivileged(), *htrun.command(), str(program), "early"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("htrun: warning: process ")
    assert warning.endswith("if it maps the channel, its events are missed")


@pytest.mark.parametrize("limit", ["0:unlimited", "4096000:unlimited"])
def test_a_limit_of_files_sizes_is_the_programs_alone(limit: str, toolchain: Toolchain, htrun: Htrun) -> None:
    """The channel, the rings and the trampolines are files for the kernel, and larger than the limit."""
    program = toolchain.compile_text(LIMITED, "limited")
    limits = ["prlimit", f"--fsize={limit}", *unprivileged()]
    done = subprocess.run([*limits, *htrun.command(), str(program)], capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{limit.split(':')[0]}\n"
    assert len((htrun.directory / "log").read_text().splitlines()) == 1000


def test_a_hard_limit_of_files_sizes_is_told_of(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile_text(LIMITED, "limited")
    for limit, code in (("0:0", 125), ("4096000:4096000", -signal.SIGKILL)):
        limits = ["prlimit", f"--fsize={limit}", *unprivileged()]
        done = subprocess.run([*limits, *htrun.command(), str(program)], capture_output=True, text=True, timeout=240)
        assert done.returncode == code
        (line,) = done.stderr.splitlines()
        assert "files may not be that large (ulimit -f)" in line


def test_a_thread_kept_on_one_processor_does_not_see_it(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(_GUESTS / "tracer_processors.c")
    result = htrun.run(program, options=("--no-patch",)).check()
    assert result.stdout == "0\n"
    assert len(result.events) == 5 * 3 * 400 + 400


@pytest.mark.parametrize("target", [NATIVE, I686], ids=lambda target: target.name)
def test_injected_calls_need_no_stack(target: Target, toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(_GUESTS / "tracer_small_stack.c", target)
    result = htrun.run(program, options=("--no-patch",)).check()
    assert result.stdout == "ready\n0\n"
    assert [event.args[0] for event in result.events] == [1, 2]
    assert result.stderr == ""


def test_old_system_calls_of_64_bit_code(toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(_GUESTS / "tracer_old_interface.c")
    alone = subprocess.run([program], capture_output=True, text=True, env=os.environ | {"HYPERTRACE": "/nonexistent"})
    result = htrun.run(program, options=("--no-patch",))
    assert alone.returncode == 1, "there is no channel"
    assert result.check().stdout == "mprotect -22\nexecve -14\nsignal 0\nmmap 1\n"
    assert len(result.events) == 2


@pytest.mark.parametrize("options", [(), ("--no-patch",)], ids=["patched", "trapped"])
def test_a_sandbox_that_kills_is_not_provoked(options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun) -> None:
    program = toolchain.compile(_GUESTS / "tracer_sandboxed.c")
    result = htrun.run(program, options=options).check()
    assert result.stdout == "alive\n"
    assert [event.args[0] for event in result.events] == [0, 1, 2]
    assert result.summary["warnings"]["injection"] > 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-", "7</dev/null"])
def test_descriptors_are_what_they_would_be_alone(closed: str, tmp_path: Path) -> None:
    script = f"ls -1 /proc/self/fd >{tmp_path}/$0 2>&1"
    for name, launcher in (("alone", ""), ("traced", f"{HTRUN} -q")):
        subprocess.run(["sh", "-c", f"{launcher} sh -c '{script}' {name} {closed}"], check=True)
    assert (tmp_path / "traced").read_text() == (tmp_path / "alone").read_text()


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["grep", "SigIgn:.*[13579bdf]....$", "/proc/self/status"], 0),
        # Its first process ends before the other one.
        (["sh", "-c", "mkfifo end; cat <end & exec 5>end; exit 3"], 3),
    ],
    ids=["inherited", "outlived"],
)
def test_whoever_starts_it_may_ignore_the_ends_of_children(words: list[str], status: int, tmp_path: Path) -> None:
    """The program inherits the disposition (signal(7)). htrun waits for these signals, and has a child at the start."""
    command: list[str | Path] = [*IGNORING_CHILDREN, HTRUN, "-q", *words]
    done = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=240)
    assert (done.returncode, done.stderr) == (status, "")


def test_a_pipe_ends_when_the_program_closes_it() -> None:
    mine, theirs = os.pipe()
    os.set_inheritable(theirs, True)
    command: list[str | Path] = [HTRUN, "-q", "sh", "-c", f"exec {theirs}>&-; exec sleep 100"]
    with subprocess.Popen(command, pass_fds=[theirs], stdin=subprocess.DEVNULL) as program:
        os.close(theirs)
        assert os.read(mine, 1) == b"", "the tracer holds no end of the program's pipes"
        program.kill()
    os.close(mine)


def test_strict_seccomp_mode_is_refused(toolchain: Toolchain, htrun: Htrun) -> None:
    """Documented in docs/how-it-works.md: a process with a filter can't enter it."""
    result = htrun.run(toolchain.compile(_GUESTS / "tracer_strict_mode.c"))
    assert result.stdout == "strict -1 Invalid argument\n"
    assert result.status == 0


def test_a_tracer_told_to_end_writes_everything(htrun: Htrun, toolchain: Toolchain) -> None:
    program = toolchain.compile_text(
        """
        #include <qemu-hypertrace.h>
        #include <stdio.h>
        #include <unistd.h>
        int main(void)
        {
            if (qemu_hypertrace_init(NULL) != 0)
                return 1;
            for (int i = 0; i < 100; i++)
                qemu_hypertrace(0);
            puts("emitted");
            fflush(stdout);
            if (fork() == 0)
                pause();
            pause();
        }
        """,
        "emits_and_waits",
    )
    with subprocess.Popen([*htrun.command(), program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "emitted\n"
        tell_to_end(tracer_of(process.pid))
        assert process.stdout.read() == "", "the child is gone, too"
    assert process.returncode == -signal.SIGKILL
    assert len((htrun.directory / "log").read_text().splitlines()) == 100
    assert not os.path.lexists(htrun.channel)


def test_a_tracer_told_to_end_as_soon_as_it_is_one(htrun: Htrun) -> None:
    for _ in range(10):
        (htrun.directory / "summary.json").unlink(missing_ok=True)
        with subprocess.Popen([*htrun.command(), "sleep", "1000"]) as process:
            while not (tracer := tracer_of(process.pid)):
                pass
            tell_to_end(tracer)
            assert process.wait(240) == -signal.SIGKILL
        assert json.loads((htrun.directory / "summary.json").read_text())["exit_status"] == -signal.SIGKILL
        assert not os.path.lexists(htrun.channel)


def test_a_tracer_told_to_end_while_processes_are_created(toolchain: Toolchain, htrun: Htrun) -> None:
    """A process that is killed while it is being created disappears, too. It is killed at a different moment in each
    attempt."""
    program = toolchain.compile_text(
        """
        #include <stdio.h>
        #include <unistd.h>

        int main(void)
        {
            puts("creating");
            fflush(stdout);
            for (int i = 0; i < 500; i++)
                if (fork() == 0)
                    pause();
            pause();
        }
        """,
        "creates_many",
    )
    for _ in range(20):
        with subprocess.Popen([*htrun.command(), program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "creating\n"
            tell_to_end(tracer_of(process.pid))
            assert process.stdout.read() == "", "no child is left"
        assert process.returncode == -signal.SIGKILL


@pytest.mark.heavy("again and again, to meet each moment")
def test_the_first_process_killed_while_it_creates_another(toolchain: Toolchain, htrun: Htrun) -> None:
    """Then no event reports the new process, which waits at its first stop. The creator is killed at a different moment
    in each attempt."""
    program = toolchain.compile_text(
        """
        #include <stdio.h>
        #include <unistd.h>
        #include <sys/wait.h>

        int main(void)
        {
            puts("creating");
            fflush(stdout);
            for (;;) {
                if (vfork() == 0)
                    _exit(0);
                wait(NULL);
            }
        }
        """,
        "creates_one_by_one",
    )
    for _ in range(60):
        with subprocess.Popen([*htrun.command(), program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "creating\n"
            process.kill()
            assert process.wait(240) == -signal.SIGKILL
            assert process.stdout.read() == "", "no child is left"


KILLED_AT_THE_START = """
import os, signal, sys
from pathlib import Path
from htrun.channel.layout import Layout
from htrun.errors import HtrunError
from htrun.launch.launcher import Launcher
from htrun.runner import run
from htrun.runner.options import RunOptions

theirs, mine = os.pipe()
if (program := os.fork()) == 0:
    os.close(mine)
    os.read(theirs, 1)
    os._exit(1)
os.close(theirs)
launcher = Launcher(program, mine)

def state():
    try:
        with open(f"/proc/{program}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0]
    except OSError:
        return "gone"

def prepare_and_kill(channel):
    prepare(channel)
    print("published" if channel.path.exists() else "not published")
    os.kill(program, signal.SIGKILL)
    if sys.argv[1] == "gone":
        os.waitpid(program, 0)
    while state() != sys.argv[1]:
        pass

prepare, run._prepare = run._prepare, prepare_and_kill
path = Path(sys.argv[2])
try:
    run.run(RunOptions(("true",), Layout(), path), launcher)
except HtrunError as error:
    print("undone" if not path.exists() else "left")
    launcher.exit(125, str(error))
"""


@pytest.mark.parametrize("state", ["Z", "gone"])
def test_a_program_killed_before_it_starts(tmp_path: Path, state: str) -> None:
    """htrun cleans up without a message, even if the dead process has been reaped already."""
    script = [sys.executable, "-c", KILLED_AT_THE_START, state, str(tmp_path / "channel")]
    done = subprocess.run(script, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout, done.stderr) == (0, "published\nundone\n", "")


def test_children_for_the_parent(toolchain: Toolchain, htrun: Htrun) -> None:
    """A process that is created with CLONE_PARENT inherits from its creator, not from its parent, even if one of them
    exits at the same time."""
    program = toolchain.compile_text(
        """
        #define _GNU_SOURCE
        #include <qemu-hypertrace.h>
        #include <sched.h>
        #include <signal.h>
        #include <stdio.h>
        #include <sys/syscall.h>
        #include <sys/wait.h>
        #include <unistd.h>

        int main(void)
        {
            int status, ended = 0;
            if (fork() == 0) {
                if (qemu_hypertrace_init(NULL) != 0)
                    return 1;
                for (int i = 0; i < 200; i++)
                    if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0) {
                        qemu_hypertrace(0);
                        _exit(0);
                    }
                return 0;
            }
            while (wait(&status) > 0)
                ended += status == 0;
            printf("%d\\n", ended);
            return 0;
        }
        """,
        "creates_siblings",
    )
    result = htrun.run(program).check()
    assert result.stdout == "201\n"
    assert len(result.events) == 200


def test_a_process_killed_while_it_creates_one_for_its_parent(toolchain: Toolchain, htrun: Htrun) -> None:
    """The process is killed at a different moment in each attempt. All processes exit, and their parent can wait for
    each of them."""
    program = toolchain.compile_text(
        """
        #define _GNU_SOURCE
        #include <sched.h>
        #include <signal.h>
        #include <sys/syscall.h>
        #include <sys/wait.h>
        #include <unistd.h>

        int main(void)
        {
            for (int i = 0; i < 100; i++) {
                pid_t creator = fork();
                if (creator == 0)
                    for (;;)
                        if (syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0) == 0)
                            _exit(0);
                for (int j = 0; j < 100 * i; j++)
                    getppid();
                kill(creator, SIGKILL);
                while (wait(NULL) > 0)
                    ;
            }
            return 7;
        }
        """,
        "kills_creators",
    )
    assert htrun.run(program, timeout=240).status == 7


def test_a_program_killed_while_a_thread_of_it_execs(toolchain: Toolchain, htrun: Htrun) -> None:
    """This happens after the thread has taken over the id of the first thread without an event, and has left its old
    memory."""
    program = toolchain.compile_text(
        """
        #include <pthread.h>
        #include <stdio.h>
        #include <sys/mman.h>
        #include <unistd.h>

        enum { SIZE = 256 << 20 };

        static void *exec_self(void *path)
        {
            puts("execs");
            fflush(stdout);
            execl(path, path, "once more", NULL);
            return NULL;
        }

        int main(int argc, char **argv)
        {
            pthread_t thread;
            char *much = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (argc > 1)
                pause();
            madvise(much, SIZE, MADV_NOHUGEPAGE);
            for (long i = 0; i < SIZE; i += 4096)
                much[i] = 1;
            pthread_create(&thread, NULL, exec_self, argv[0]);
            pause();
        }
        """,
        "thread_execs",
    )
    for _ in range(4):
        with subprocess.Popen([*htrun.command(), program], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "execs\n"
            while len(os.listdir(f"/proc/{process.pid}/task")) > 1:
                pass
            process.kill()
            assert process.wait(240) == -signal.SIGKILL
            assert json.loads((htrun.directory / "summary.json").read_text())["threads"] == 2


def test_many_processes_and_none_is_left(htrun: Htrun) -> None:
    script = "for i in 1 2 3 4 5 6 7 8 9 10; do (sh -c 'sh -c : & :' & :); /bin/true; done"
    result = htrun.run("sh", "-c", script).check()
    assert result.summary["processes"] >= 30


@pytest.mark.parametrize("options", [(), ("--no-patch",)], ids=["patched", "trapping"])
def test_more_processes_than_open_files(toolchain: Toolchain, htrun: Htrun, options: tuple[str, ...]) -> None:
    """htrun opens files of more processes than its limit of open files; the program has the same limit and needs
    five."""
    program = toolchain.compile(_GUESTS / "many_processes.c")
    command = ["prlimit", "--nofile=40:40", *htrun.command(*options), str(program), "70"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert (done.returncode, done.stdout, done.stderr) == (0, "70\n", "")
    lines = (htrun.directory / "log").read_text().splitlines()
    events = Counter(LogEvent.parse(line).args[:2] for line in lines)
    assert events == Counter((who, number) for who in range(140) for number in range(3))


WAITING = """
#include <qemu-hypertrace.h>
#include <unistd.h>
int main(void)
{
    char byte;
    if (qemu_hypertrace_init(NULL) != 0)
        return 1;
    qemu_hypertrace(0);
    return read(STDIN_FILENO, &byte, 1) != 0;
}
"""


def test_the_tracer_has_no_threads_but_its_own(toolchain: Toolchain, htrun: Htrun) -> None:
    """Imported libraries start no threads. Without a summary, no thread looks up the names of sites."""
    program = toolchain.compile_text(WAITING, "waiting")
    log = htrun.directory / "log"
    with subprocess.Popen([HTRUN, "-D", log, program], stdin=subprocess.PIPE) as process:
        wait_until(lambda: log.exists() and log.stat().st_size > 0, "the event in the log")
        threads = os.listdir(f"/proc/{tracer_of(process.pid)}/task")
        assert process.stdin is not None
        process.stdin.close()
    assert process.returncode == 0
    assert len(threads) == 3  # The main thread, the drain, and the thread that waits for signals.
