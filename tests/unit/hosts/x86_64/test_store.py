"""The decoder's description of a store, compared with the effect on the processor."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ptrace.binding.linux_struct import user_regs_struct

from htrun.hosts.host import NotAStore
from htrun.hosts.x86_64.registers import Registers
from htrun.hosts.x86_64.store import MAX_INSTRUCTION, Store, _decoded, decode_store
from tests.unit.hosts.x86_64 import forms
from tests.unit.hosts.x86_64.machine import ELSEWHERE, INT3, SITE, Machine


def check(machine: Machine, form: str, seed: int) -> None:
    chance = random.Random(seed)
    target = machine.at(ELSEWHERE + 0x400)
    store, values = forms.aimed(machine, form, target, chance, SITE)
    before = machine.registers(**values, rip=store.address)
    assert store.effective_address(before) == target
    xmm = chance.randbytes(256)
    machine.set_vectors(xmm)
    machine.write(ELSEWHERE, b"\xaa" * 0x1000)
    machine.write(SITE, store.code + INT3)
    after, number = machine.run(before)
    assert (number, after.rip) == (signal.SIGTRAP, store.address + store.length + 1)
    written = int.from_bytes(machine.read(ELSEWHERE + 0x400, store.size), "little")
    if store.vector_register is not None:
        assert written == store.vector_value(xmm[16 * store.vector_register :][:16])
        with pytest.raises(ValueError, match="vector register"):
            store.value(before)
    else:
        assert written == store.value(before)
    assert machine.read(ELSEWHERE, 0x400) == b"\xaa" * 0x400
    assert machine.read(ELSEWHERE + 0x400 + store.size, 0x100) == b"\xaa" * 0x100


@pytest.mark.parametrize("form", [*forms.WORDS, *forms.OTHERS])
def test_address_and_value_are_the_processors(machine: Machine, form: str) -> None:
    for seed in range(8):
        check(machine, form, seed)


@pytest.mark.parametrize("form", forms.WORDS_OF_LOW_ADDRESSES)
def test_addresses_of_32_bits_wrap(low_machine: Machine, form: str) -> None:
    for seed in range(8):
        check(low_machine, form, seed)


@pytest.mark.parametrize(
    ("form", "immediate"), [("8905", ""), ("4c8925", ""), ("c705", "05000000"), ("48c705", "05000000")]
)
def test_ip_relative(machine: Machine, form: str, immediate: str) -> None:
    length = len(bytes.fromhex(form + immediate)) + 4
    distance = (ELSEWHERE + 0x400) - (SITE + length)
    check(machine, form + distance.to_bytes(4, "little", signed=True).hex() + immediate, 1)


@pytest.mark.parametrize(
    ("form", "address", "value"),
    [
        ("8908", 0x55667788, 0x11223344),  # mov %ecx,(%eax)
        ("a320304000", 0x403020, 0x55667788),  # mov %eax,0x403020
        ("c7050400000005000000", 4, 5),  # movl $5,4
        ("65890d14000000", 0x2014, 0x11223344),  # mov %ecx,%gs:0x14
        ("894c0878", 0x55667788 + 0x11223344 + 0x78, 0x11223344),  # mov %ecx,0x78(%eax,%ecx)
        ("8948fc", 0x55667784, 0x11223344),  # mov %ecx,-4(%eax)
        ("678907", 0xBEEF, 0x55667788),  # mov %eax,(%bx)
        ("0f38f108", 0x55667788, 0x44332211),  # movbe %ecx,(%eax)
        ("668908", 0x55667788, 0x3344),  # mov %cx,(%eax)
    ],
)
def test_32_bit_code(form: str, address: int, value: int) -> None:
    store = decode_store(bytes.fromhex(form), 0x8048000, 32)
    regs = user_regs_struct(rax=0x55667788, rcx=0x11223344, rbx=0xDEADBEEF, gs_base=0x2000)
    assert store.effective_address(regs) == address
    assert store.value(regs) == value


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ("f00108", "does more than store"),  # lock add %ecx,(%rax)
        ("0108", "does more than store"),
        ("8708", "does more than store"),  # xchg
        ("0fc108", "does more than store"),  # xadd
        ("ff00", "does more than store"),  # incl
        ("50", "does more than store"),  # push
        ("e800000000", "does more than store"),  # call
        ("ab", "does more than store"),  # stos
        ("f3ab", "does more than store"),
        ("a4", "does more than store"),  # movs
        ("0f9400", "does more than store"),  # sete
        ("dd18", "does more than store"),  # fstpl
        ("0f7f00", "neither a general nor a vector register"),  # movq %mm0
        ("8c18", "neither a general nor a vector register"),  # mov %ds
        ("62f17c491100", "under a mask"),
        ("8b00", "stores nothing"),
        ("8900".replace("00", "c8"), "stores nothing"),
        ("90", "stores nothing"),
        ("06", "not an instruction"),
        ("", "not an instruction"),
        ("4989", "not an instruction"),
    ],
)
def test_what_is_no_plain_store_is_refused(form: str, reason: str) -> None:
    with pytest.raises(NotAStore, match=reason):
        decode_store(bytes.fromhex(form), 0x1000, 64)


@given(st.binary(max_size=MAX_INSTRUCTION), st.integers(0, (1 << 47) - 1), st.sampled_from((32, 64)))
def test_any_bytes_are_a_store_or_refused(code: bytes, address: int, bits: int) -> None:
    try:
        store = decode_store(code, address % (1 << bits), bits)
    except NotAStore:
        return
    assert code.startswith(store.code)
    assert 1 <= store.size <= 64
    regs = user_regs_struct()
    assert 0 <= store.effective_address(regs) < 1 << bits
    if store.vector_register is None:
        assert 0 <= store.value(regs) < 1 << 8 * store.size


def test_text_is_as_objdump_prints() -> None:
    assert decode_store(bytes.fromhex("6541891c24"), 0, 64).text == "mov %ebx,%gs:(%r12)"


def facts(store: Store) -> tuple[object, ...]:
    """All attributes of a store. Its functions are replaced by what they return for some registers."""
    registers = Registers(**{name: 0x1111_2222_3333 * number for number, (name, _) in enumerate(Registers._fields_)})
    names = ("address", "code", "bits", "size", "memory", "source", "byte_swapped", "text", "near", "plain_value")
    value = store.value(registers) if store.register_set is None else None
    return *(getattr(store, name) for name in names), store.effective_address(registers), value


@given(
    st.lists(
        st.tuples(
            st.one_of(st.sampled_from([*forms.WORDS, *forms.OTHERS]).map(bytes.fromhex), st.binary(max_size=8)),
            st.binary(max_size=15),
            st.sampled_from([0x1000, 0x7F12_3456_0000]),
            st.sampled_from([64, 32]),
        ),
        max_size=6,
    )
)
def test_what_was_decoded_before_makes_no_difference(seen: list[tuple[bytes, bytes, int, int]]) -> None:
    """The same bytes are decoded to the same store, at any address and with any following bytes."""
    for code, following, address, bits in seen:
        try:
            expected = facts(_decoded(code + following, address, bits))
        except NotAStore as error:
            with pytest.raises(NotAStore, match=re.escape(str(error))):
                decode_store(code + following, address, bits)
        else:
            assert facts(decode_store(code + following, address, bits)) == expected


def test_a_guest_cannot_make_htrun_keep_any_number_of_stores(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[tuple[int, bytes], Store] = {}
    monkeypatch.setattr("htrun.hosts.x86_64.store._known", known)
    monkeypatch.setattr("htrun.hosts.x86_64.store._MOST_KNOWN", 3)
    for number in range(8):
        code = b"\xc7\x00" + number.to_bytes(4, "little")
        assert decode_store(code, 0x1000, 64).plain_value == number
    assert len(known) == 3


def test_importing_the_module_does_not_import_the_decoder() -> None:
    program = "import htrun.hosts.x86_64.store, sys; sys.exit('iced_x86' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
