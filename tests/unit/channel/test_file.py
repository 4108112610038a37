"""The channel's memory and its path, and everything that can prevent using the path."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from htrun.channel import file as channel_file
from htrun.channel.file import Channel, Identity
from htrun.channel.layout import DATA_OFFSET, Layout
from htrun.errors import HtrunError

LAYOUT = Layout(num_args=2, max_clients=8)
NOBODY = 65534


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "channel"


@contextmanager
def published(path: Path | None) -> Iterator[Channel]:
    channel = Channel.create(path, LAYOUT)
    try:
        channel.publish(os.getpid())
        yield channel
    finally:
        channel.remove()
        os.close(channel.descriptor)


def in_child(action: Callable[[], None]) -> int:
    """Run ``action`` in a forked child; returns its wait status. If it raises an exception, the exit status is 1."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException as error:
            print(repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def dead_process() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def refusal(path: Path) -> str:
    with pytest.raises(HtrunError) as caught:
        Channel.create(path, LAYOUT)
    assert caught.value.exit_code == 125
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_guest_finds_the_header_and_shares_the_memory(path: Path) -> None:
    with published(path) as channel:
        descriptor = os.open(path, os.O_RDWR)
        with mmap.mmap(descriptor, LAYOUT.total_size) as guest:
            assert guest[:64] == LAYOUT.header()
            guest[DATA_OFFSET + 64 : DATA_OFFSET + 80] = struct.pack("<QQ", 0xCAFE, 0xBABE)
            assert channel.arguments(1) == struct.pack("<QQ", 0xCAFE, 0xBABE)
            assert channel.arguments(0) == channel.arguments(7) == bytes(16)
        assert Identity.of(os.fstat(descriptor)) == channel.identity
        os.close(descriptor)


def test_the_memory_cannot_change_its_size(path: Path) -> None:
    with published(path) as channel:
        seals = fcntl.fcntl(channel.descriptor, fcntl.F_GET_SEALS)
        wanted = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
        assert seals & wanted == wanted
        for size in (0, LAYOUT.total_size * 2):
            with pytest.raises(PermissionError):
                os.truncate(path, size)


def test_the_memory_is_not_inherited_by_programs(path: Path) -> None:
    with published(path) as channel:
        assert not os.get_inheritable(channel.descriptor)
        assert (
            "memfd:hypertrace"
            not in subprocess.run(
                ["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False, check=True
            ).stdout
        )


def test_nothing_is_at_the_path_before_it_is_published(path: Path) -> None:
    channel = Channel.create(path, LAYOUT)
    assert not os.path.lexists(path)
    channel.remove()


def test_a_forked_owner_publishes_and_the_link_dies_with_it(path: Path) -> None:
    channel = Channel.create(path, LAYOUT)
    ready_read, ready_write = os.pipe()
    end_read, end_write = os.pipe()

    def own() -> None:
        channel.publish(os.getpid())
        os.write(ready_write, b"x")
        os.read(end_read, 1)

    owner = os.fork()
    if owner == 0:
        own()
        os._exit(0)
    assert os.read(ready_read, 1) == b"x"
    assert path.readlink() == Path(f"/proc/{owner}/fd/{channel.descriptor}")
    assert Identity.of(path.stat()) == channel.identity
    os.kill(owner, signal.SIGKILL)
    os.waitpid(owner, 0)
    assert path.is_symlink()
    assert not path.exists()
    with published(path) as successor:
        assert Identity.of(path.stat()) == successor.identity
    assert not os.path.lexists(path)
    for descriptor in (ready_read, ready_write, end_read, end_write, channel.descriptor):
        os.close(descriptor)


def test_remove_leaves_what_is_not_ours(path: Path) -> None:
    with published(path) as channel:
        path.unlink()
        path.write_text("mine")
        channel.remove()
        assert path.read_text() == "mine"
        path.unlink()
        path.symlink_to(f"/proc/{os.getpid()}/fd/999")
        channel.remove()
        assert path.is_symlink()


def test_a_link_to_a_descriptor_used_for_something_else_is_stale(path: Path, tmp_path: Path) -> None:
    with (tmp_path / "other").open("w") as other:
        path.symlink_to(f"/proc/{os.getpid()}/fd/{other.fileno()}")
        with published(path) as channel:
            assert Identity.of(path.stat()) == channel.identity


def test_a_link_to_a_memory_file_of_another_name_is_stale(path: Path) -> None:
    other = os.memfd_create("hypertrace-rings")
    path.symlink_to(f"/proc/{os.getpid()}/fd/{other}")
    with published(path) as channel:
        assert Identity.of(path.stat()) == channel.identity
    os.close(other)


def test_a_stale_link_that_happens_to_name_us_is_taken_over(path: Path) -> None:
    """In a container, process ids start anew, so this run may have the id of the last one."""
    channel = Channel.create(path, LAYOUT)
    path.symlink_to(f"/proc/{os.getpid()}/fd/{channel.descriptor}")
    channel.publish(os.getpid())
    assert Identity.of(path.stat()) == channel.identity
    channel.remove()
    assert not os.path.lexists(path)


def test_the_live_channel_of_another_run_is_refused(path: Path) -> None:
    with published(path) as channel:
        assert f"process {os.getpid()}" in refusal(path)
        assert Identity.of(path.stat()) == channel.identity


def test_a_path_taken_between_create_and_publish_is_refused(path: Path) -> None:
    channel = Channel.create(path, LAYOUT)
    path.write_text("mine")
    with pytest.raises(HtrunError, match="did not make"):
        channel.publish(os.getpid())
    assert path.read_text() == "mine"


def test_a_regular_file_is_refused_and_kept(path: Path) -> None:
    path.write_text("mine")
    assert "did not make" in refusal(path)
    assert path.read_text() == "mine"


def test_a_directory_is_refused(path: Path) -> None:
    path.mkdir()
    assert "a directory" in refusal(path)


@pytest.mark.parametrize("target", ["elsewhere", "/proc/self/fd/3", "/proc/1/fd/x", "/dev/null"])
def test_any_other_link_is_refused_even_if_it_dangles(path: Path, target: str) -> None:
    path.symlink_to(target)
    assert f"a link to {target}" in refusal(path)
    assert path.readlink() == Path(target)


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    assert os.strerror(errno.ENOENT) in refusal(tmp_path / "no" / "channel")


def test_a_file_in_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert os.strerror(errno.ENOTDIR) in refusal(tmp_path / "file" / "channel")


def test_a_name_too_long_is_refused(tmp_path: Path) -> None:
    assert os.strerror(errno.ENAMETOOLONG) in refusal(tmp_path / ("x" * 300))


def test_an_unwritable_directory_is_refused(tmp_path: Path) -> None:
    """Become a user who is subject to permissions, unlike root."""
    directory = tmp_path / "locked"
    directory.mkdir(mode=0o555)
    for parent in (tmp_path, *tmp_path.parents[:3]):
        if parent.stat().st_uid == os.getuid():
            parent.chmod(parent.stat().st_mode | 0o055)

    def attempt() -> None:
        if os.getuid() == 0:
            os.setresuid(NOBODY, NOBODY, NOBODY)
        assert os.strerror(errno.EACCES) in refusal(directory / "channel")

    assert in_child(attempt) == 0


def test_runs_that_race_for_a_stale_link_never_share_it(path: Path) -> None:
    """One of several runs gets the path and keeps it; the others are refused."""
    for _ in range(20):
        path.symlink_to(f"/proc/{dead_process()}/fd/5")
        go_read, go_write = os.pipe()
        done_read, done_write = os.pipe()
        result_read, result_write = os.pipe()

        def race(go: int = go_read, done: int = done_read, result: int = result_write) -> None:
            os.read(go, 1)
            try:
                channel = Channel.create(path, LAYOUT)
                channel.publish(os.getpid())
            except HtrunError:
                os.write(result, b"l")
            except BaseException:
                os.write(result, b"e")
                raise
            else:
                os.write(result, b"w")
                os.read(done, 1)
                if Identity.of(path.stat()) != channel.identity:
                    os._exit(2)
                channel.remove()

        racers = []
        for _ in range(4):
            racer = os.fork()
            if racer == 0:
                try:
                    race()
                except BaseException:
                    os._exit(1)
                os._exit(0)
            racers.append(racer)
        os.write(go_write, b"xxxx")
        results = b""
        while len(results) < 4:
            results += os.read(result_read, 4)
        os.write(done_write, b"xxxx")
        statuses = [os.waitpid(racer, 0)[1] for racer in racers]
        for descriptor in (go_read, go_write, done_read, done_write, result_read, result_write):
            os.close(descriptor)
        assert statuses == [0] * 4
        assert sorted(results) == sorted(b"wlll")
        assert not os.path.lexists(path)


@pytest.mark.parametrize("variable", ["XDG_RUNTIME_DIR", "TMPDIR"])
def test_a_private_path_is_removed_with_its_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv(variable, str(tmp_path))
    with published(None) as channel:
        directory = channel.path.parent
        assert directory.parent == tmp_path
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert Identity.of(channel.path.stat()) == channel.identity
    assert list(tmp_path.iterdir()) == []


def test_private_paths_that_killed_runs_left_are_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After SIGKILL, a later run removes the remaining files, except files that are in use or not htrun's."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def left(name: str, *, channel: bool) -> str:
        (tmp_path / name).mkdir()
        if channel:
            (tmp_path / name / "channel").symlink_to(f"/proc/{dead_process()}/fd/4")
        return name

    left("htrun-17-0123456789ab", channel=True)
    left("htrun-18-0123456789ab", channel=False)
    others = left("htrun-notes", channel=True)
    with published(None) as channel, published(None) as second:
        channel.clear_left_behind()
        kept = {others, channel.path.parent.name, second.path.parent.name}
        assert {path.name for path in tmp_path.iterdir()} == kept
    assert {path.name for path in tmp_path.iterdir()} == {others}


def test_a_private_path_that_another_run_takes_for_one_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If its directory is removed before it is locked, a run creates another one."""
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    cleared: list[Path] = []

    def flock(descriptor: int, operation: int, lock: Callable[[int, int], None] = fcntl.flock) -> None:
        if not cleared:
            cleared.extend(tmp_path.iterdir())
            cleared[0].rmdir()
        lock(descriptor, operation)

    monkeypatch.setattr("htrun.channel.private_directory.fcntl.flock", flock)
    with published(None) as channel:
        assert list(tmp_path.iterdir()) == [channel.path.parent] != cleared
        assert Identity.of(channel.path.stat()) == channel.identity


@pytest.mark.parametrize("leads_to", [None, "1"], ids=["none", "another namespace's"])
def test_without_a_proc_of_its_own(
    leads_to: str | None, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc = tmp_path / "proc"
    proc.mkdir()
    if leads_to is not None:
        (proc / "self").symlink_to(leads_to)
    monkeypatch.setattr(channel_file, "_PROC", proc)
    with pytest.raises(HtrunError, match="mount it first"):
        Channel.create(path, LAYOUT)
    assert not os.path.lexists(path)


class TestOpenToOthers:
    def test_those_of_this_user_get_a_private_file(self, path: Path) -> None:
        with published(path) as channel:
            channel.open_to(os.geteuid())
            assert stat.S_ISREG(path.lstat().st_mode)
            assert stat.S_IMODE(path.lstat().st_mode) == 0o600
            assert path.read_bytes() == LAYOUT.header() + bytes(LAYOUT.total_size - 64)
            assert path.lstat().st_blocks * 512 >= LAYOUT.total_size
            assert channel.memory_of(Identity.of(path.stat())) == 1
            assert channel.memory_of(channel.identity) == 0
            assert channel.memory_of(Identity.of(path.parent.stat())) is None
        assert not os.path.lexists(path)
        assert list(path.parent.iterdir()) == []

    def test_arguments_of_each_memory(self, path: Path) -> None:
        with published(path) as channel:
            channel.open_to(os.geteuid())
            at = LAYOUT.slot_offset(3)
            size = 8 * LAYOUT.num_args
            channel.memory[at : at + size] = b"a" * size
            with path.open("r+b") as file:
                file.seek(at)
                file.write(b"b" * size)
            assert (channel.arguments(3), channel.arguments(3, 1)) == (b"a" * size, b"b" * size)
            os.truncate(path, at + 1)
            assert channel.arguments(3, 1) == b"b".ljust(size, b"\0")

    def test_other_users(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The first user owns the file; for a second one, it becomes accessible to all."""
        owners: list[int] = []
        monkeypatch.setattr(os, "fchown", lambda _file, user, _group: owners.append(user))
        with published(path) as channel:
            for user in (12345, 12345, 12346, 12345):
                channel.open_to(user)
            assert owners == [12345, 12345, 12345]
            assert stat.S_IMODE(path.lstat().st_mode) == 0o666

    def test_a_file_that_took_its_place_is_kept(self, path: Path) -> None:
        with published(path) as channel:
            channel.open_to(os.geteuid())
            path.unlink()
            path.write_text("mine")
        assert path.read_text() == "mine"

    def test_what_took_the_links_place_is_kept(self, path: Path) -> None:
        with published(path) as channel:
            path.unlink()
            path.write_text("mine")
            channel.open_to(os.geteuid())
        assert path.read_text() == "mine"

    def test_a_full_disk_leaves_the_link(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "posix_fallocate", full)
        with published(path) as channel:
            with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
                channel.open_to(os.geteuid())
            assert path.is_symlink()
        assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("vanishes_at", [1, 2])
def test_a_stale_link_that_another_run_removes_meanwhile_is_no_error(
    path: Path, monkeypatch: pytest.MonkeyPatch, vanishes_at: int
) -> None:
    """The path is removed between the two checks of `Channel.create`, or of `Channel.publish`."""
    path.symlink_to(f"/proc/{dead_process()}/fd/5")
    real, looks = channel_file._target_of, 0

    def target_of(link: Path) -> str | None:
        nonlocal looks
        looks += 1
        if looks == vanishes_at:
            link.unlink()
        return real(link)

    monkeypatch.setattr(channel_file, "_target_of", target_of)
    channel = Channel.create(path, LAYOUT)
    channel.publish(os.getpid())
    assert looks >= vanishes_at
    assert Identity.of(path.stat()) == channel.identity
    channel.remove()
