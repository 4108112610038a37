"""The facts of a site, and the report at the end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from htrun.hosts.x86_64.patch import HALT
from htrun.hosts.x86_64.store import decode_store
from htrun.hosts.x86_64.trampoline import Trampoline
from htrun.intercept.code_writer import met_halt, settle
from htrun.intercept.guest import AddressSpace
from htrun.intercept.places import Place
from htrun.intercept.site_report import account, lines
from htrun.intercept.sites import Patch, Site, costly, describe
from htrun.tracee.memory import Memory

ADDRESS = 0x7000_0000_1000
CONTROL = 0x7F00_0000_0000
STORE = bytes.fromhex("897700")
JUMP = bytes.fromhex("e91122")


def site(number: int = 1, code: bytes = STORE) -> Site:
    place = Place(ADDRESS, ADDRESS + 0x1000, "", 0, shared=False)
    return Site(number, 4711, ADDRESS, code, decode_store(code, ADDRESS, 64), place)


def patch(borrowed: bytes = b"\xc3\x00") -> Patch:
    trampoline = cast(Trampoline, SimpleNamespace(address=0x6000_0000_0000))
    return Patch(STORE, JUMP, borrowed, trampoline, CONTROL, keeps_flags=True)


def traps_until_the_next_patch(subject: Site) -> int:
    """The number of times that ``subject`` must trap after the guest has overwritten its patch."""
    subject.patch = patch()
    subject.traps += 1
    subject.lost_patch()
    return subject.not_before - subject.traps


def test_a_patch_that_the_guest_writes_over_again_and_again_is_given_time() -> None:
    subject = site()
    waits = [traps_until_the_next_patch(subject) for _ in range(40)]
    assert waits[:16] == [0] * 16
    assert waits[16:20] == [2, 4, 8, 16]
    assert max(waits) == waits[-1] == 4096


def test_code_that_replaces_other_code_is_as_little_trusted() -> None:
    former = site()
    for _ in range(20):
        former.lost_patch()
    later = site(2, bytes.fromhex("8937"))
    later.succeed(former)
    assert later.losses == 20
    assert later.not_before == 16
    assert later.siblings is former.siblings


def test_a_forked_childs_traps_count_for_its_parents_site() -> None:
    parent = site()
    parent.patch = patch()
    child = parent.fork().fork()
    child.trapped()
    parent.trapped()
    assert (child.traps, parent.traps) == (1, 2)
    assert child.patch is parent.patch
    assert child.made == {}


@pytest.mark.parametrize(
    ("found", "expected", "patched"),
    [
        (JUMP, JUMP, True),
        (STORE, STORE, False),
        (HALT + STORE[1:], STORE, False),
        (HALT + JUMP[1:], STORE, False),
        (b"\x90\x90\x90", b"\x90\x90\x90", False),
    ],
    ids=["patched", "not yet", "begun", "half done", "other code"],
)
def test_a_copy_made_amid_a_patch_is_settled(found: bytes, expected: bytes, patched: bool) -> None:
    content = bytearray(found)

    def write(_address: int, data: bytes) -> None:
        content[: len(data)] = data

    memory = SimpleNamespace(read=lambda _address, size: bytes(content[:size]), write=write)
    parent, copy = AddressSpace(cast(Memory, memory)), AddressSpace(cast(Memory, memory))
    parent.breakpoints.add(ADDRESS)
    copy.sites[ADDRESS] = site()
    copy.sites[ADDRESS].patch = patch()
    settle(copy, parent)
    assert bytes(content) == expected
    assert (copy.sites[ADDRESS].patch is not None) == patched


def test_a_halt_of_the_guests_own_stays() -> None:
    memory = SimpleNamespace(read=lambda _address, size: HALT[:size])
    space = AddressSpace(cast(Memory, memory))
    assert not met_halt(space, ADDRESS)
    space.breakpoints.add(ADDRESS)
    assert not met_halt(space, ADDRESS)
    memory.read = lambda _address, size: JUMP[:size]
    assert met_halt(space, ADDRESS)


def test_how_a_site_is_patched() -> None:
    assert describe(patch()) == "pun of 3 + 2 bytes to 0x600000000000"
    assert describe(patch(b"")) == "jump to 0x600000000000"


def no_name(_file: str, _offset: int) -> None:
    """Finds no symbol."""


def reason(subject: Site, events: int) -> object:
    (entry,) = account([subject], {1: events}, no_name)
    return entry["not_patched"]


def test_why_no_patch_stands() -> None:
    subject = site()
    assert reason(subject, 0) == "it never emitted an event"
    assert reason(subject, 1) == "the channel is no longer mapped at the address of its store"
    subject.lost_patch()
    assert reason(subject, 1) == "its code was rewritten"
    subject.lost_patch()
    assert reason(subject, 1) == "its code was rewritten 2 times"
    subject.refused = "--no-patch"
    assert reason(subject, 1) == "--no-patch"
    subject.patch = patch()
    assert reason(subject, 1) == ""


def test_a_line_for_each_site() -> None:
    patched, refused = site(), site(2)
    patched.patch, refused.refused = patch(), "32-bit code"
    assert list(lines(account([patched, refused], {1: 100}, no_name))) == [
        "site 0x700000001000 in process 4711, generated code: mov %esi,(%rdi): "
        "patched, pun of 3 + 2 bytes to 0x600000000000; traps 0, events 100",
        "site 0x700000001000 in process 4711, generated code: mov %esi,(%rdi): not patched: 32-bit code; "
        "traps 0, events 0",
    ]


def test_sites_that_trap_often_are_worth_a_warning() -> None:
    one, other, patched = site(), site(2), site(3)
    one.refused = other.refused = "32-bit code"
    for _ in range(2):
        one.fork().trapped(4_999)
        patched.trapped(50_000)
        assert costly([other, patched]) is None
    one.trapped(2)
    message = costly([one, one.fork(), other, patched])
    assert message == (
        "the store at 0x700000001000 in process 4711 trapped 10,000 times, and each trap costs thousands of times as "
        "much as an event of a patched site. It is not patched: 32-bit code"
    )
    other.trapped(10_000)
    assert str(costly([other, one])).endswith("not patched: 32-bit code (2 sites trapped so often)")
