"""The channel as an object in memory and as a path that guests open.

The memory is a sealed memory file. The path is a symbolic link into ``/proc``, which leads to this file. If htrun dies,
the link dangles, so the next run recognises the link as stale. The memory and the path are created separately, because
the process that parses the options is not the process that will own the memory. `Channel.create` runs before the fork,
and `Channel.publish` runs in the process that stays. For processes that cannot follow such a link, there is a second
memory (`htrun.channel.public_file`).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import re
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from htrun.channel.layout import CONTROL_OFFSET, DATA_OFFSET, EMIT_OFFSET, Layout
from htrun.channel.private_directory import PrivateDirectory
from htrun.channel.public_file import PublicFile
from htrun.channel.ring_layout import FIELDS_OFFSET
from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from htrun.channel.ring_layout import RingLayout

_NAME = "hypertrace"
_PROC = Path("/proc")
_NOWHERE = Path("/dev/null/hypertrace")
_PROC_LINK = re.compile(r"/proc/(\d+)/fd/(\d+)")
_MEMFD_TARGET = f"/memfd:{_NAME} (deleted)"
"""The beginning of the target of a link in ``/proc/PID/fd`` that leads to the memory file (memfd_create(2))."""
NO_INDEX = 0xFFFFFFFF
"""The value of the control word before the first store. No channel has a slot with this index."""
_NOTHING_STORED = b"\xff" * 16
"""The first bytes of the control region before anything was stored."""
_MFD_NOEXEC_SEAL = 0x0008
"""A flag of memfd_create(2), since Linux 6.3: the file is never executable. Kernels that know the flag log a warning if
it is missing."""


class Identity(NamedTuple):
    """Identifies a file, in order to find mappings of the channel: ``st_dev`` and ``st_ino`` of the file."""

    device: int
    inode: int

    @classmethod
    def of(cls, status: os.stat_result) -> Identity:
        """The identity of the file with this ``status``."""
        return cls(status.st_dev, status.st_ino)


class Channel:
    """The channel of one run, mapped into htrun. It is created with `create`.

    ``path``: the path that guests open. ``descriptor``: the descriptor of the memory's file; it is close-on-exec, and
    forked processes inherit it. ``memory``: all `Layout.total_size` bytes. The guests share this memory, and may write
    any byte at any time. ``reachable``: whether guests can open the path (see `without_path`). ``rings``: the rings
    after ``memory`` in the same file; None if there are none.

    The channel's memories are numbered. Memory 0 is ``memory``. Memory 1 is the public file, if there is one
    (`open_to`).
    """

    def __init__(
        self,
        path: Path,
        layout: Layout,
        descriptor: int,
        directory: PrivateDirectory | None,
        *,
        reachable: bool = True,
        rings: RingLayout | None = None,
    ) -> None:
        self.path = path
        self.reachable = reachable
        self.layout = layout
        self.rings = rings
        self.descriptor = descriptor
        self.identity = Identity.of(os.fstat(descriptor))
        self.memory = mmap.mmap(descriptor, layout.total_size)
        self._directory = directory
        self._public: PublicFile | None = None
        self._target: str | None = None
        self._arguments_size = 8 * layout.num_args
        self._slot_stride = layout.slot_stride

    @classmethod
    def create(cls, path: Path | None, layout: Layout, rings: RingLayout | None = None) -> Channel:
        """Create a channel with its memory, but without its path. Guests can open the channel after `publish`.

        If ``path`` is None, the run gets its own path in a directory that only this user can enter. ``rings``: the
        rings that the channel offers; None if it offers none. Raises `HtrunError` if this method finds that the path is
        unusable.
        """
        _require_proc()
        directory = None
        if path is None:
            directory = PrivateDirectory()
            path = directory.channel
        path = path.absolute()
        try:
            _check_place(path)
            return cls(path, layout, _memory_file(layout, rings), directory, rings=rings)
        except BaseException:
            if directory is not None:
                directory.remove()
            raise

    @classmethod
    def without_path(cls, layout: Layout) -> Channel:
        """A channel that no guest can open: for a run that records no channel, on a system where no path can be
        created."""
        _require_proc()
        return cls(_NOWHERE, layout, _memory_file(layout, None), None, reachable=False)

    def publish(self, pid: int) -> None:
        """Create the path, so that guests can open it. It points to the memory while the process ``pid`` exists.

        The process ``pid`` must have inherited the channel. Raises `HtrunError` if the path has been taken since
        `create`.
        """
        if not self.reachable:
            return
        target = f"/proc/{pid}/fd/{self.descriptor}"
        while True:
            try:
                self.path.symlink_to(target)
            except FileExistsError:
                if self._leads_here():
                    break
                _remove_stale(self.path)
            except OSError as error:
                raise _unusable(self.path, error) from error
            else:
                break
        self._target = target

    @property
    def slots_address(self) -> int:
        """The address of the slot of index 0 in htrun's memory."""
        return ctypes.addressof(ctypes.c_char.from_buffer(self.memory, DATA_OFFSET))

    def arguments(self, index: int, memory: int = 0) -> bytes:
        """The current arguments in the slot of ``index``, in the guest's byte order.

        ``index`` must be from 0 to ``max_clients - 1``.
        """
        start = DATA_OFFSET + index * self._slot_stride
        if memory and self._public is not None:
            return self._public.read(start, self._arguments_size)
        return self.memory[start : start + self._arguments_size]

    def memory_of(self, identity: Identity) -> int | None:
        """The number of the channel's memory that is stored in the file with ``identity``; None if the channel has no
        such file."""
        if identity == self.identity:
            return 0
        public = self._public
        return 1 if public is not None and identity == Identity.of(os.fstat(public.descriptor)) else None

    def descriptor_of(self, memory: int) -> int:
        """The descriptor of the channel's file with the number ``memory``."""
        return self._public.descriptor if memory and self._public is not None else self.descriptor

    def offer(self, rings: RingLayout) -> None:
        """Offer ``rings`` instead of the current rings, before any process has opened the channel. Both must have the
        same size."""
        assert self.rings is not None
        assert self.rings.file_size == rings.file_size
        self.rings = rings
        fields = rings.fields()
        self.memory[FIELDS_OFFSET : FIELDS_OFFSET + len(fields)] = fields

    def await_stores(self) -> None:
        """Prepare the control region so that `stored` can find stores that no tracer catches."""
        self.memory[CONTROL_OFFSET : CONTROL_OFFSET + len(_NOTHING_STORED)] = _NOTHING_STORED

    def stored(self) -> int | None:
        """The index that a guest has stored last since `await_stores`; `NO_INDEX` if guests have stored only
        `HELLO_VALUE`; None if there was no store."""
        words = self.memory[CONTROL_OFFSET : CONTROL_OFFSET + len(_NOTHING_STORED)]
        if words == _NOTHING_STORED:
            return None
        return int.from_bytes(words[EMIT_OFFSET : EMIT_OFFSET + 4], "little")

    def write_header(self, offset: int, data: bytes) -> None:
        """Write ``data`` to the header region of every memory. Raises OSError."""
        self.memory[offset : offset + len(data)] = data
        if self._public is not None:
            self._public.write(offset, data)

    def open_to(self, user: int) -> None:
        """Make the path usable for processes that cannot follow a link into this process's ``/proc``: processes of
        ``user``, and this user's processes in other namespaces. Raises OSError."""
        if self._public is None and self._is_ours():
            self._public = PublicFile(self.path, self.layout)
        if self._public is not None and user != os.geteuid():
            self._public.give_to(user)
            if self._directory is not None:
                self._directory.let_others_enter()

    def remove(self) -> None:
        """Remove the path if it still leads to this channel.

        The memory exists as long as any process has it mapped. This method never fails.
        """
        with suppress(OSError):
            if self._is_ours():
                self.path.unlink()
        if self._directory is not None:
            self._directory.remove()

    def clear_left_behind(self) -> None:
        """Remove the channels of killed runs, if this channel is in its own private directory."""
        if self._directory is not None:
            self._directory.clear_left_behind()

    def _is_ours(self) -> bool:
        if self._public is not None:
            return Identity.of(self.path.lstat()) == Identity.of(os.fstat(self._public.descriptor))
        return self._target is not None and _target_of(self.path) == self._target

    def _leads_here(self) -> bool:
        """Whether the path leads to this channel. This is also true of a link of an earlier run that had the same
        process id and descriptor."""
        with suppress(OSError):
            leads_to_proc = _PROC_LINK.fullmatch(_target_of(self.path) or "") is not None
            return leads_to_proc and Identity.of(self.path.stat()) == self.identity
        return False


def _memory_file(layout: Layout, rings: RingLayout | None) -> int:
    size = layout.total_size if rings is None else rings.file_size
    try:
        descriptor = _memfd_create()
        try:
            _fill(descriptor, size, layout, rings)
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            with _lifted_file_size():
                _fill(descriptor, size, layout, rings)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
    except OSError as error:
        hint = "; files may not be that large (ulimit -f)" if error.errno == errno.EFBIG else ""
        reason = f"{error.strerror}{hint}"
        raise HtrunError(f"cannot make the channel's memory ({size} bytes): {reason}") from error
    return descriptor


def _fill(descriptor: int, size: int, layout: Layout, rings: RingLayout | None) -> None:
    os.truncate(descriptor, size)
    os.pwrite(descriptor, layout.header(), 0)
    if rings is not None:
        os.pwrite(descriptor, rings.fields(), FIELDS_OFFSET)


@contextmanager
def _lifted_file_size() -> Iterator[None]:
    """A context in which this process's limit of file sizes is as high as possible, because the limit is not meant for
    memory.

    The program inherits the original limit.
    """
    import resource  # Imported here, because most runs do not need it.

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    lift_file_size()
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def lift_file_size() -> None:
    """Raise this process's limit of file sizes (RLIMIT_FSIZE) as high as possible."""
    import resource

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    except ValueError:
        hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def _memfd_create() -> int:
    flags = os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING
    try:
        return os.memfd_create(_NAME, flags | _MFD_NOEXEC_SEAL)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    return os.memfd_create(_NAME, flags)


def _require_proc() -> None:
    """Raise `HtrunError` unless ``/proc`` is mounted and belongs to htrun's own process id namespace, so that it shows
    the programs."""
    with suppress(OSError):
        if (_PROC / "self").readlink() == Path(str(os.getpid())):
            return
    raise HtrunError(
        f"{_PROC} is not mounted, or is that of another process id namespace, so htrun can't look into the program: "
        "mount it first (mount -t proc proc /proc; unshare --mount-proc)"
    )


def _check_place(path: Path) -> None:
    """Raise `HtrunError` if a link cannot be made at ``path``. This reports the error before anything is started."""
    try:
        path.lstat()
        _require_stale(path)
    except FileNotFoundError:
        # The path does not exist, or another run has just removed a stale link at this path.
        if not path.parent.is_dir():
            raise _unusable(path, FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))) from None
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise _unusable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES))) from None
    except OSError as error:
        raise _unusable(path, error) from error


def _require_stale(path: Path) -> None:
    """Check that ``path`` is a link that a dead run has left. Raises FileNotFoundError if ``path`` does not exist, and
    `HtrunError` if it is anything else."""
    target = _target_of(path)
    if target is None:
        kind = "a directory" if path.is_dir() else "a file that htrun did not make"
        raise HtrunError(f"cannot make the channel {path}: it is {kind}; give another path, or remove it")
    link = _PROC_LINK.fullmatch(target)
    if link is None:
        raise HtrunError(f"cannot make the channel {path}: it is a link to {target}; give another path, or remove it")
    try:
        leads_to = (_PROC / link[1] / "fd" / link[2]).readlink()
    except (FileNotFoundError, ProcessLookupError):
        return
    except OSError as error:
        raise HtrunError(
            f"cannot make the channel {path}: it is a link into process {link[1]}, which cannot be inspected "
            f"({error.strerror}); give another path"
        ) from error
    if str(leads_to) == _MEMFD_TARGET:
        raise HtrunError(f"cannot make the channel {path}: the htrun in process {link[1]} uses it; give another path")


def _remove_stale(path: Path) -> None:
    """Remove the existing ``path`` if a dead run has left it. If another process removes it first, do nothing. Raises
    `HtrunError` if the path is anything else."""
    with suppress(FileNotFoundError), _locked(path):
        _require_stale(path)
        path.unlink()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """A context in which no other htrun removes links in the directory of ``path``.

    Two runs may find the same stale link. Without the lock, the slower run would remove the link that the faster run
    has just made.
    """
    try:
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise HtrunError(
            f"cannot replace the link {path} that an earlier run left: {path.parent}: {error.strerror}; remove it"
        ) from error
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def _target_of(path: Path) -> str | None:
    """The target of the link ``path``; None if it is not a link. Raises FileNotFoundError."""
    try:
        return str(path.readlink())
    except OSError as error:
        if error.errno == errno.EINVAL:
            return None
        raise


def _unusable(path: Path, error: OSError) -> HtrunError:
    return HtrunError(f"cannot make the channel {path}: {error.strerror}")
