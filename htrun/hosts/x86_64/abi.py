"""The two system call interfaces an x86-64 kernel gives its programs: numbers, and the registers that carry arguments.

Numbers are those of arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from htrun.hosts.host import Registers

USER32_CS = 0x23
"""The code segment of 32-bit code (arch/x86/include/asm/segment.h, __USER32_CS)."""

RESULT_WORD, CALL_NUMBER_WORD, PC_WORD, MODE_WORD, FLAGS_WORD, SP_WORD, THREAD_POINTER_WORD = (
    80,
    120,
    128,
    136,
    144,
    152,
    168,
)
"""Where struct user (<sys/user.h>) has a call's result, its number, the program counter, what `bits_in` looks at, the
flags, the stack pointer and the thread pointer."""

IMPOSSIBLE_FLAGS = 1 << 6 | 1 << 7
"""Zero and negative: no result of arithmetic sets both flags. A system call keeps them, so they distinguish a call that
is made again from a later one with the same arguments. The code after a call does not read them."""


def bits_in(mode: int) -> int:
    """Whether code runs as 64- or 32-bit code in this code segment."""
    return 32 if mode == USER32_CS else 64


class Abi(NamedTuple):
    """One system call interface.

    ``bits``: 64 or 32; ``audit_arch``: what a seccomp filter sees; ``instruction``: the call instruction's two bytes;
    ``arguments``: the registers of arguments 1 to 6; ``argument_words``: where struct user has them; ``numbers``: call
    numbers by name; ``nowhere``: the page after the last that a program can map; ``frame_masks``: where a signal frame
    keeps the mask to be restored, from the stack pointer that these calls are made with.
    """

    bits: int
    audit_arch: int
    instruction: bytes
    arguments: tuple[str, ...]
    argument_words: tuple[int, ...]
    numbers: dict[str, int]
    nowhere: int
    frame_masks: dict[str, int]

    @property
    def word(self) -> int:
        """Bytes of a pointer."""
        return self.bits // 8

    def argument(self, registers: Registers, index: int) -> int:
        """Argument ``index`` (0 to 5) of the call a thread is stopped at."""
        value: int = getattr(registers, self.arguments[index])
        return value & ((1 << self.bits) - 1)

    def set_argument(self, registers: Registers, index: int, value: int) -> None:
        """Replace argument ``index`` (0 to 5) of the call a thread is stopped at."""
        setattr(registers, self.arguments[index], value & ((1 << self.bits) - 1))

    def result(self, registers: Registers) -> int:
        """A finished call's result as a signed number: -4095 to -1 is an errno."""
        value: int = registers.result & ((1 << self.bits) - 1)
        return value - (1 << self.bits) if value >= (1 << self.bits) - 4095 else value


X86_64 = Abi(
    bits=64,
    audit_arch=0xC000003E,
    instruction=b"\x0f\x05",
    arguments=("rdi", "rsi", "rdx", "r10", "r8", "r9"),
    argument_words=(112, 104, 96, 56, 72, 64),
    numbers={
        "open": 2,
        "close": 3,
        "mmap": 9,
        "mprotect": 10,
        "munmap": 11,
        "rt_sigaction": 13,
        "rt_sigprocmask": 14,
        "rt_sigreturn": 15,
        "mremap": 25,
        "madvise": 28,
        "recvmsg": 47,
        "socketpair": 53,
        "execve": 59,
        "munlock": 150,
        "mlockall": 151,
        "munlockall": 152,
        "seccomp": 317,
        "execveat": 322,
        "membarrier": 324,
        "pkey_mprotect": 329,
        "prctl": 157,
        "ptrace": 101,
        "sched_setaffinity": 203,
        "sched_getaffinity": 204,
        "tgkill": 234,
        "kcmp": 312,
        "clone3": 435,
        "pidfd_getfd": 438,
    },
    # arch/x86, TASK_SIZE, and for 32-bit code IA32_PAGE_OFFSET; struct rt_sigframe and struct sigframe_ia32
    # (arch/x86/include/asm/sigframe.h), after the popped return address.
    nowhere=0x7FFF_FFFF_F000,
    frame_masks={"rt_sigreturn": 296},
)

I386 = Abi(
    bits=32,
    audit_arch=0x40000003,
    instruction=b"\xcd\x80",
    arguments=("rbx", "rcx", "rdx", "rsi", "rdi", "rbp"),
    argument_words=(40, 88, 96, 104, 112, 32),
    numbers={
        "open": 5,
        "close": 6,
        "execve": 11,
        "signal": 48,
        "sigaction": 67,
        "ssetmask": 69,
        "old_mmap": 90,
        "munmap": 91,
        "sigreturn": 119,
        "mprotect": 125,
        "sigprocmask": 126,
        "munlock": 151,
        "mlockall": 152,
        "munlockall": 153,
        "mremap": 163,
        "rt_sigreturn": 173,
        "rt_sigaction": 174,
        "rt_sigprocmask": 175,
        "mmap": 192,
        "seccomp": 354,
        "execveat": 358,
        "membarrier": 375,
        "pkey_mprotect": 380,
        "prctl": 172,
        "ptrace": 26,
        "sched_setaffinity": 241,
        "sched_getaffinity": 242,
        "clone3": 435,
    },
    nowhere=0xFFFF_F000,
    frame_masks={"rt_sigreturn": 264, "sigreturn": 84},
)


NO_NUMBER_ABOVE = 0x40000000
"""Numbers from here on are calls of the x32 interface, which htrun does not know."""
NATIVE, COMPAT = X86_64, I386
"""The interface of htrun's own calls, and the other one that programs may use."""


def interface(bits: int) -> Abi:
    """The interface that code of so many bits uses."""
    return NATIVE if bits == NATIVE.bits else COMPAT


_ABIS = {abi.audit_arch: abi for abi in (X86_64, I386)}
_NAMES = {abi.audit_arch: {number: name for name, number in abi.numbers.items()} for abi in (X86_64, I386)}


def call_name(audit_arch: int, number: int) -> tuple[Abi, str | None]:
    """The interface a call was made by, and the call's name if `Abi.numbers` has it.

    64-bit code may make 32-bit calls (``int $0x80``), so the thread's code segment doesn't tell.
    """
    return _ABIS[audit_arch], _NAMES[audit_arch].get(number)
