"""A process's memory, read and written from outside: here the test's own."""

from __future__ import annotations

import ctypes
import errno
import gc
import mmap
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Iterator

import pytest

from htrun.tracee.memory import Memory, _OpenFiles, is_not_there


@pytest.fixture
def memory() -> Iterator[Memory]:
    memory = Memory(os.getpid())
    yield memory
    memory.close()


def test_reads_and_writes(memory: Memory) -> None:
    buffer = ctypes.create_string_buffer(b"before", 16)
    memory.write(ctypes.addressof(buffer), b"behind")
    assert buffer.value == b"behind"
    assert memory.read(ctypes.addressof(buffer), 16) == buffer.raw


def test_strings_cross_pages(memory: Memory) -> None:
    pages = mmap.mmap(-1, 3 * mmap.PAGESIZE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    text = b"x" * (mmap.PAGESIZE + 100)
    pages[: len(text)] = text
    assert memory.read_string(address) == text


def test_words_end_with_a_zero(memory: Memory) -> None:
    wide = ctypes.create_string_buffer(struct.pack("<3Q", 5, 1 << 40, 0))
    narrow = ctypes.create_string_buffer(struct.pack("<3I", 5, 6, 0))
    assert memory.read_words(ctypes.addressof(wide), 8) == [5, 1 << 40]
    assert memory.read_words(ctypes.addressof(narrow), 4) == [5, 6]


def test_words_cross_pages_and_need_not_be_aligned(memory: Memory) -> None:
    pages = mmap.mmap(-1, 3 * mmap.PAGESIZE)
    words = list(range(1, mmap.PAGESIZE // 4))
    pages[3 : 3 + 8 * len(words)] = struct.pack(f"<{len(words)}Q", *words)
    assert memory.read_words(ctypes.addressof(ctypes.c_char.from_buffer(pages)) + 3, 8) == words


def test_many_strings(memory: Memory) -> None:
    """Strings that follow each other, like an exec's arguments; strings out of order; repeated strings; and strings
    that are longer than a single read."""
    texts = [b"x" * (number % 300) for number in range(2000)] + [b"long" * 20_000, b"", b"last"]
    block = ctypes.create_string_buffer(b"\0".join(texts))
    addresses = [ctypes.addressof(block)]
    for text in texts[:-1]:
        addresses.append(addresses[-1] + len(text) + 1)
    order = [*range(len(texts)), 5, 5, 1999, 3]
    assert memory.read_strings([addresses[place] for place in order]) == [texts[place] for place in order]


def test_what_has_no_end_is_refused(memory: Memory) -> None:
    # The word after the limit is read, too, and must not be zero.
    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    pages[:] = b"x" * len(pages)
    address = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    with pytest.raises(OSError, match="no end of the string"):
        memory.read_string(address, limit=mmap.PAGESIZE)
    with pytest.raises(OSError, match="no end of the words"):
        memory.read_words(address, 8, limit=mmap.PAGESIZE // 8)


@pytest.mark.parametrize("address", [1 << 63, (1 << 64) - 4096])
def test_the_kernels_addresses_are_nobodys(memory: Memory, address: int) -> None:
    with pytest.raises(OSError, match="is not an address that a program can have"):
        memory.read(address, 8)
    with pytest.raises(OSError, match="is not an address that a program can have"):
        memory.write(address, b"x")


def test_nothing_is_mapped_at_zero(memory: Memory) -> None:
    with pytest.raises(OSError, match="Input/output error"):
        memory.read(0, 8)


def test_it_is_opened_when_it_is_used() -> None:
    memory = Memory(2**22 + 1)
    with pytest.raises(FileNotFoundError):
        memory.read(0, 8)
    memory.reach_through(os.getpid())
    buffer = ctypes.create_string_buffer(b"found")
    assert memory.read(ctypes.addressof(buffer), 5) == b"found"
    memory.close()


def test_a_closed_memory_stays_closed() -> None:
    memory = Memory(os.getpid())
    memory.open()
    memory.close()
    memory.close()
    with pytest.raises(FileNotFoundError):
        memory.read(0, 8)


def test_many_memories_share_few_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least recently used file is closed, and opened again when it is used. Files that must stay open are not
    closed."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr("htrun.tracee.memory._open_files", _OpenFiles())
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * before + 64, limits[1]))
    try:
        kept = Memory(os.getpid())
        kept.keep_open()
        memories = [Memory(os.getpid()) for _ in range(2 * before + 100)]
        buffer = ctypes.create_string_buffer(b"found")
        for memory in memories + memories:
            assert memory.read(ctypes.addressof(buffer), 5) == b"found"
        assert len(os.listdir("/proc/self/fd")) <= before + 1 + (2 * before + 64) // 2
        assert kept.read(ctypes.addressof(buffer), 5) == b"found"
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for memory in [kept, *memories]:
        memory.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_it_is_opened_by_way_of_a_thread_that_still_runs_in_it() -> None:
    memory = Memory(2**22 + 1, lambda: [os.getpid()])
    buffer = ctypes.create_string_buffer(b"found")
    assert memory.read(ctypes.addressof(buffer), 5) == b"found"
    memory.close()


def test_what_an_error_says(memory: Memory) -> None:
    with pytest.raises(OSError, match="Input/output error") as unmapped:
        memory.read(0, 8)
    assert is_not_there(unmapped.value)
    assert not is_not_there(OSError(errno.EMFILE, "too many"))
    assert not is_not_there(PermissionError(errno.EACCES, "no"))


WORDS = """
import ctypes, mmap, os, signal
from htrun.tracee import ptrace
from htrun.tracee.memory import Memory
from htrun.tracee.ptrace import Option
from htrun.tracee.stopped import Stopped

page = mmap.mmap(-1, 2 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE)
page[:8] = b"original"
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
assert ptrace.libc.mprotect(ctypes.c_void_p(address), mmap.PAGESIZE, mmap.PROT_READ) == 0
assert ptrace.libc.munmap(ctypes.c_void_p(address + mmap.PAGESIZE), mmap.PAGESIZE) == 0
child = os.fork()
if child == 0:
    signal.pause()
ptrace.seize(child, Option.EXITKILL)
ptrace.interrupt(child)
os.waitpid(child, 0)

def opened():
    links = [f"/proc/self/fd/{number}" for number in range(3, 20)]
    return [link for link in links if os.path.lexists(link) and os.readlink(link).endswith("/mem")]

memory = Memory(child)
print(memory.read(address, 8), memory.read(address, 3))
memory.write(address, b"replaced")
print(memory.read(address, 8), opened())
# The last bytes of the page are not a whole word.
print(memory.read(address + mmap.PAGESIZE - 4, 4), len(opened()))
memory.release()
Stopped(child).resume()
memory.write(address, b"in a run")
print(memory.read(address, 8), len(opened()), page[:8])
memory.close()
try:
    memory.read(address, 8)
except FileNotFoundError:
    print("closed")
"""


def test_words_of_a_stopped_thread_need_no_file() -> None:
    """A read-only page of the thread can also be written. If the thread runs, or if a word is not whole, the file is
    opened."""
    done = subprocess.run([sys.executable, "-c", WORDS], capture_output=True, text=True, timeout=240)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "b'original' b'ori'",
        "b'replaced' []",
        "b'\\x00\\x00\\x00\\x00' 1",
        "b'in a run' 1 b'original'",
        "closed",
    ]
