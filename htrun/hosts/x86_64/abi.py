"""The two system call interfaces of an x86-64 kernel: call numbers, and the registers that hold arguments.

The call numbers come from arch/x86/entry/syscalls/syscall_64.tbl and syscall_32.tbl.
"""

from __future__ import annotations

from htrun.hosts.calls import Abi, UserWords

USER32_CS = 0x23
"""The code segment of 32-bit code (arch/x86/include/asm/segment.h, __USER32_CS)."""

WORDS = UserWords(result=80, call_number=120, pc=128, mode=136, flags=144, sp=152, thread_pointer=168)

IMPOSSIBLE_FLAGS = 1 << 6 | 1 << 7
"""The zero flag and the sign flag. No arithmetic result sets both flags."""


def bits_in(mode: int) -> int:
    """64 or 32: the kind of code that runs with the code segment ``mode``."""
    return 32 if mode == USER32_CS else 64


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
        "perf_event_open": 298,
        "sched_setaffinity": 203,
        "sched_getaffinity": 204,
        "tgkill": 234,
        "kcmp": 312,
        "clone3": 435,
        "pidfd_getfd": 438,
    },
    # ``nowhere``: TASK_SIZE, and IA32_PAGE_OFFSET for 32-bit code (arch/x86). ``frame_masks``: offsets in struct
    # rt_sigframe and struct sigframe_ia32 (arch/x86/include/asm/sigframe.h), after the popped return address.
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
"""The first number of the x32 interface, which htrun does not support. Greater numbers also belong to this
interface."""
NATIVE, COMPAT = X86_64, I386
"""The interface of htrun's own calls, and the other interface that programs may use."""


def interface(bits: int) -> Abi:
    """The interface that code of ``bits`` bits (64 or 32) uses."""
    return NATIVE if bits == NATIVE.bits else COMPAT


_ABIS = {abi.audit_arch: abi for abi in (X86_64, I386)}
_NAMES = {abi.audit_arch: {number: name for name, number in abi.numbers.items()} for abi in (X86_64, I386)}


def call_name(audit_arch: int, number: int) -> tuple[Abi, str | None]:
    """The interface by which a call was made, and the name of the call if `Abi.numbers` contains it.

    64-bit code may make 32-bit calls (``int $0x80``), so the thread's code segment does not show the interface.
    """
    return _ABIS[audit_arch], _NAMES[audit_arch].get(number)
