"""Patch plans are decoded and executed. The rules for the bytes that a jump may borrow are checked."""

from __future__ import annotations

import signal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from iced_x86 import Code, Decoder

from htrun.hosts.host import Write
from htrun.hosts.x86_64.patch import HALT, HIGHEST_ADDRESS, LOWEST_ADDRESS, Candidate, plan, steps
from htrun.hosts.x86_64.store import decode_store
from tests.unit.hosts.x86_64 import forms
from tests.unit.hosts.x86_64.machine import ARENA_SIZE, INT3, SITE, TRAMPOLINE, Machine

HIGH = 0x5555_5555_5000
LOW = 0x40_1000


def decoded(candidate: Candidate, following: bytes, entry: int) -> None:
    """The patched bytes are one jump to ``entry``, and only the store's own were changed."""
    patched = candidate.code_for(entry)
    length = len(candidate.original)
    assert len(patched) == length
    jump = Decoder(64, patched + following, ip=candidate.site).decode()
    assert jump.code == Code.JMP_REL32_64
    assert jump.near_branch_target == entry
    assert jump.len == candidate.prefixes + 5
    assert candidate.borrowed == following[: max(0, jump.len - length)]
    assert patched[jump.len :] == candidate.original[jump.len :]


@pytest.mark.parametrize("form", [*forms.WORDS, *forms.WORDS_OF_LOW_ADDRESSES])
@pytest.mark.parametrize("site", [HIGH, HIGH + 0xFFE, LOW])
def test_every_form_becomes_a_jump(form: str, site: int) -> None:
    store = decode_store(bytes.fromhex(form), site, 64)
    following = bytes.fromhex("488b0500000000c3")
    made = plan(store.code + following, site, store.length, generated=False)
    assert made.candidates
    assert made.reason is None
    for candidate in made.candidates:
        assert candidate.is_pun == (store.length < 5)
        for entry in {candidate.low, candidate.high - 1, (candidate.low + candidate.high) // 2}:
            decoded(candidate, following, entry)
        for outside in (candidate.low - 1, candidate.high):
            with pytest.raises(ValueError, match="not in the window"):
                candidate.code_for(outside)


@pytest.mark.parametrize(("form", "sizes"), [("8910", [1 << 8, 1]), ("4c892b", [1 << 16, 1 << 8, 1])])
def test_windows_shrink_by_prefixes(form: str, sizes: list[int]) -> None:
    code = bytes.fromhex(form)
    made = plan(code + bytes(8), HIGH, len(code), generated=False)
    assert [candidate.high - candidate.low for candidate in made.candidates] == sizes
    assert [candidate.prefixes for candidate in made.candidates] == list(range(len(sizes)))


def test_the_window_is_where_the_borrowed_bytes_say() -> None:
    made = plan(bytes.fromhex("49891c24" + "48"), HIGH, 4, generated=False)
    [candidate] = made.candidates
    assert (candidate.low, candidate.high) == (HIGH + 5 + 0x48000000, HIGH + 5 + 0x49000000)
    assert candidate.borrowed == b"\x48"


def test_no_place_below_a_low_program_but_by_a_prefix() -> None:
    """As in a static program: 3 bytes, then two that make the displacement negative."""
    code = bytes.fromhex("4c892b" + "4885" + "c07400")
    made = plan(code, LOW, 3, generated=False)
    assert [candidate.prefixes for candidate in made.candidates] == [2]
    made = plan(bytes.fromhex("4c892b" + "4889" + "05000000"), LOW, 3, generated=False)
    assert [candidate.prefixes for candidate in made.candidates] == [1, 2]
    assert all(candidate.low >= LOWEST_ADDRESS for candidate in made.candidates)


def test_no_place_above_the_users_addresses() -> None:
    made = plan(bytes.fromhex("49891c24" + "48" * 4), HIGHEST_ADDRESS - 0x1000, 4, generated=False)
    assert (made.candidates, made.reason) == ((), "the jump cannot reach any usable address")


@pytest.mark.parametrize("available", range(4))
def test_nothing_behind_the_mapping_is_borrowed(available: int) -> None:
    code = bytes.fromhex("4c892b") + bytes(available)
    made = plan(code, HIGH, 3, generated=False)
    assert all(len(candidate.borrowed) <= available for candidate in made.candidates)
    assert len(made.candidates) == max(0, available - 1)
    if available < 2:
        assert made.reason == "the executable mapping ends right after the store"


@pytest.mark.parametrize(
    ("form", "following", "puns"),
    [
        ("49891c24", "e900000000", 1),  # jmp: its opcode may be borrowed, not its displacement
        ("49891c24", "0f8400000000", 2),  # je: two bytes of opcode
        ("49891c24", "e800000000", 1),
        ("49891c24", "eb00", 1),
        ("49891c24", "7400", 1),
        ("49891c24", "90e900000000", 2),
        ("4c892b", "e900000000", 0),
        ("4c892b", "0f8400000000", 1),
        ("8910", "9090e900000000", 1),
        ("8910", "90e900000000", 0),
        ("49891c24", "ff2500000000", 4),  # an indirect jump isn't relinked
    ],
)
def test_displacements_that_are_relinked_are_not_borrowed(form: str, following: str, puns: int) -> None:
    code = bytes.fromhex(form)
    site = 0x7F00_0000_0000
    whole = code + bytes.fromhex(following) + b"\x90" * 8
    possible = plan(whole, site, len(code), generated=False).candidates
    made = plan(whole, site, len(code), generated=True)
    allowed = len(bytes.fromhex(following).partition(b"\x00\x00")[0])
    assert made.candidates == possible[:puns]
    assert all(len(candidate.borrowed) <= allowed for candidate in made.candidates) or puns == 4
    assert made.reason == (None if puns else "a branch after the store is relinked at run time")


def test_a_breakpoint_is_not_borrowed() -> None:
    made = plan(bytes.fromhex("49891c24cc9090909090"), HIGH, 4, generated=False)
    assert (made.candidates, made.reason) == ((), "there is a breakpoint after the store")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    form=st.sampled_from([*forms.WORDS, "8910", "4c892b", "49891c24"]),
    following=st.tuples(
        st.integers(0, 255), st.integers(0, 31), st.sampled_from([b"\x00" * 4, b"\x00\x10" + b"\x00" * 2])
    ),
    chance=st.randoms(use_true_random=False),
)
def test_patched_sites_lead_to_their_entry(
    machine: Machine, form: str, following: tuple[int, int, bytes], chance: object
) -> None:
    store = decode_store(bytes.fromhex(form), machine.at(SITE), 64)
    code = (
        store.code
        + bytes([following[0] if store.length == 2 else 0, following[1] * (store.length == 3)])
        + following[2]
    )
    for candidate in plan(code, store.address, store.length, generated=False).candidates:
        low, high = max(candidate.low, machine.at(TRAMPOLINE)), min(candidate.high, machine.at(0x20_0000))
        if low >= high:
            continue
        entry = chance.randrange(low, high)  # type: ignore[attr-defined]
        machine.write(SITE, candidate.code_for(entry) + code[store.length :])
        machine.write(entry - machine.base, INT3)
        after, number = machine.run(machine.registers(rip=store.address))
        assert (number, after.rip) == (signal.SIGTRAP, entry + 1)
        assert entry - machine.base < ARENA_SIZE


@given(st.binary(min_size=2, max_size=15), st.data())
def test_steps_are_safe_for_a_thread_at_any_time(old: bytes, data: st.DataObject) -> None:
    new = data.draw(st.binary(min_size=len(old), max_size=len(old)))
    site = 0x1000
    memory = bytearray(old)
    seen = [bytes(memory)]
    for write in steps(site, old, new):
        assert write.data
        offset = write.address - site
        memory[offset : offset + len(write.data)] = write.data
        assert len(memory) == len(old)
        seen.append(bytes(memory))
    assert memory == new
    for state in seen[1:-1]:
        assert state[:1] == HALT
    assert seen[0] == old


def test_steps_of_a_direct_jump_leave_the_tail() -> None:
    old, new = bytes.fromhex("c70005000000"), bytes.fromhex("e91122334400")
    assert steps(0x1000, old, new) == (
        Write(0x1000, b"\xf4"),
        Write(0x1001, bytes.fromhex("11223344")),
        Write(0x1000, b"\xe9"),
    )
    assert steps(0x1000, old, old) == ()
