"""Store instructions of every form, and register values with which each writes to a given address."""

from __future__ import annotations

import random

from htrun.hosts.x86_64.store import Store, decode_store
from tests.unit.hosts.x86_64.machine import GENERAL, THREAD, Machine

SEEN_IN_EMULATORS = (
    "49891c24",  # mov %rbx,(%r12)
    "4d896500",  # mov %r12,0(%r13)
    "4c892b",  # mov %r13,(%rbx)
    "6541891c24",  # mov %ebx,%gs:(%r12), with a guest base
    "4d0f38f126",  # movbe %r12,(%r14), s390x
    "48890e",  # mov %rcx,(%rsi), a helper of qemu-system
    "49891c3c",  # mov %rbx,(%r12,%rdi)
    "4d89643d00",  # mov %r12,0(%r13,%rdi)
    "4c893c18",  # mov %r15,(%rax,%rbx), a helper of qemu-system 7.2
)

WORDS = (
    *SEEN_IN_EMULATORS,
    "8910",  # mov %edx,(%rax)
    "8902",  # mov %eax,(%rdx)
    "488902",  # mov %rax,(%rdx)
    "4889d0".replace("d0", "10"),  # mov %rdx,(%rax)
    "8900",  # mov %eax,(%rax)
    "890c24",  # mov %ecx,(%rsp)
    "48894424f8",  # mov %rax,-8(%rsp)
    "892424",  # mov %esp,(%rsp)
    "488923",  # mov %rsp,(%rbx)
    "894d80",  # mov %ecx,-0x80(%rbp)
    "898d00100000",  # mov %ecx,0x1000(%rbp)
    "89048a",  # mov %eax,(%rdx,%rcx,4)
    "4a8954fe10",  # mov %rdx,0x10(%rsi,%r15,8)
    "89b40910000000",  # mov %esi,0x10(%rcx,%rcx)
    "89348d00000000",  # mov %esi,0(,%rcx,4)
    "c70005000000",  # movl $5,(%rax)
    "49c7420803000000",  # movq $3,8(%r10)
    "0fc30b",  # movnti %ecx,(%rbx)
    "480fc31a",  # movnti %rbx,(%rdx)
    "0f38f108",  # movbe %ecx,(%rax)
    "0f38f102",  # movbe %eax,(%rdx)
    "648902",  # mov %eax,%fs:(%rdx)
    "6448890c9a",  # mov %rcx,%fs:(%rdx,%rbx,4)
    "64890c25f8ffffff",  # mov %ecx,%fs:-8
    "65890c2500000000",  # mov %ecx,%gs:0
    "65c7042500000000 07000000".replace(" ", ""),  # movl $7,%gs:0
    "2e89 0b".replace(" ", ""),  # cs mov %ecx,(%rbx): the prefix means nothing
    "660f7e03",  # movd %xmm0,(%rbx)
    "66480f7e03",  # movq %xmm0,(%rbx), by its register form
    "660fd60a",  # movq %xmm1,(%rdx)
    "f3440f113b",  # movss %xmm15,(%rbx)
    "f20f1110",  # movsd %xmm2,(%rax)
    "0f1313",  # movlps %xmm2,(%rbx)
    "0f1713",  # movhps %xmm2,(%rbx)
    "660f3a161302",  # pextrd $2,%xmm2,(%rbx)
    "66480f3a161301",  # pextrq $1,%xmm2,(%rbx)
    "660f3a171303",  # extractps $3,%xmm2,(%rbx)
    "c5f97e13",  # vmovd %xmm2,(%rbx)
    "c5f9d613",  # vmovq %xmm2,(%rbx)
    "c5fa1113",  # vmovss %xmm2,(%rbx)
    "c4c17b1124 24".replace(" ", ""),  # vmovsd %xmm4,(%r12)
)
"""Stores of 64-bit code of 4 or 8 bytes, which may emit an event."""

WORDS_OF_LOW_ADDRESSES = (
    "67893c24",  # mov %edi,(%esp)
    "6741890c9c",  # mov %ecx,(%r12d,%ebx,4)
    "6765890a",  # mov %ecx,%gs:(%edx)
    "67c70005000000",  # movl $5,(%eax)
)

OTHERS = (
    "8808",  # mov %cl,(%rax)
    "8820",  # mov %ah,(%rax)
    "883b",  # mov %bh,(%rbx)
    "40883b",  # mov %dil,(%rbx)
    "c60207",  # movb $7,(%rdx)
    "668908",  # mov %cx,(%rax)
    "660f38f108",  # movbe %cx,(%rax)
    "66c7020700",  # movw $7,(%rdx)
    "660f3a141305",  # pextrb $5,%xmm2,(%rbx)
    "660f3a151305",  # pextrw $5,%xmm2,(%rbx)
    "0f1102",  # movups %xmm0,(%rdx)
    "0f2902",  # movaps %xmm0,(%rdx)
    "660f7f02",  # movdqa %xmm0,(%rdx)
    "f30f7f02",  # movdqu %xmm0,(%rdx)
    "660fe702",  # movntdq %xmm0,(%rdx)
    "c5f81102",  # vmovups %xmm0,(%rdx)
    "c5fa7f02",  # vmovdqu %xmm0,(%rdx)
)
"""Stores of 64-bit code of other sizes, which never emit an event."""


def aimed(machine: Machine, form: str, target: int, chance: random.Random, place: int) -> tuple[Store, dict[str, int]]:
    """The store at ``address`` and random registers with which it writes to ``target``."""
    store = decode_store(bytes.fromhex(form), machine.at(place), 64)
    values = {name: chance.getrandbits(64) for name in GENERAL}
    values["rsp"] = machine.at(0x18_0000) + 8 * chance.randrange(512)
    values["fs_base"] = values["gs_base"] = machine.at(THREAD)
    memory = store.memory
    bits = 8 * memory.address_size
    wanted = target
    if memory.segment:
        if memory.base is None and memory.index is None:
            values[f"{memory.segment}_base"] = (target - memory.displacement) % (1 << 64)
            return store, values
        wanted -= values[f"{memory.segment}_base"]
    wanted -= memory.displacement
    if memory.base == memory.index:
        factor = 1 + memory.scale
        halves = (factor & -factor).bit_length() - 1
        assert wanted % (1 << halves) == 0
        values[str(memory.base)] = (wanted >> halves) * pow(factor >> halves, -1, 1 << bits) % (1 << bits)
    elif memory.base:
        if memory.index:
            wanted -= values[memory.index] * memory.scale
        noise = values[memory.base] >> bits << bits
        values[memory.base] = wanted % (1 << bits) + noise if memory.base != "rsp" else wanted % (1 << bits)
    elif memory.index:
        assert wanted % memory.scale == 0
        values[memory.index] = wanted % (1 << bits) // memory.scale
    return store, values
