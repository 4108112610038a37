"""Loads the modules that the first trap needs: the decoder, the builder of trampolines, and the instructions that most
trampolines contain."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

_USUAL = "41891c24", "49891c24", "890b", "48890b"
"""mov %ebx,(%r12), mov %rbx,(%r12), mov %ecx,(%rbx) and mov %rcx,(%rbx): QEMU and compilers emit such stores."""
_SOMEWHERE = 1 << 32
_MOST_CLIENTS, _STRIDE = 1024, 64


def prepare(num_args: int) -> Iterator[None]:
    """See `htrun.hosts.host.Host`."""
    import_module("htrun.hosts.x86_64.store")
    yield
    import_module("iced_x86")
    yield
    from htrun.hosts.x86_64.liveness import flags_live
    from htrun.hosts.x86_64.patch import plan
    from htrun.hosts.x86_64.store import decode_store

    for code in map(bytes.fromhex, _USUAL):
        store = decode_store(code, _SOMEWHERE, 64)
        following = code + bytes.fromhex("e900000000") * 4
        plan(following, _SOMEWHERE, store.length, generated=True)
        flags_live(following, _SOMEWHERE, _SOMEWHERE + store.length, generated=True, translated=True)
    yield
    import_module("htrun.hosts.x86_64.trampoline")
    yield
    _build(num_args)


def _build(num_args: int) -> None:
    """Build trampolines of the usual forms, for addresses that no program has. The encoded instructions are kept."""
    from htrun.hosts.host import TrampolineContext
    from htrun.hosts.x86_64.store import decode_store
    from htrun.hosts.x86_64.trampoline import build, build_runtime

    at = _SOMEWHERE
    context = TrampolineContext(at, at, _STRIDE, num_args, _MOST_CLIENTS, at, False, at, True, 0)
    for code in map(bytes.fromhex, _USUAL):
        store = decode_store(code, at, 64)
        for live in (False, True):
            build(store, at, context, at, site=1, flags_live=live, ordered=False)
    build_runtime(at)
