"""Are the arithmetic flags live behind a site: may anything read them before all six are overwritten?

Where they are dead a trampoline saves itself ``lahf; seto`` and back. The answer is "live" wherever it isn't certain.
The other registers aren't asked about: saving four of them costs nothing that can be measured beside ``rdtsc``, and a
debugger or a signal handler behind the site finds them as they would be.
"""

from __future__ import annotations

from iced_x86 import Decoder, FlowControl, Instruction, Mnemonic, OpKind, RflagsBits

BUDGET = 64
"""Instructions looked at before giving up."""

_ARITHMETIC = RflagsBits.OF | RflagsBits.SF | RflagsBits.ZF | RflagsBits.AF | RflagsBits.CF | RflagsBits.PF
_FOLLOWED = (FlowControl.NEXT, FlowControl.UNCONDITIONAL_BRANCH, FlowControl.CONDITIONAL_BRANCH, FlowControl.CALL)
_LOGIC = frozenset((Mnemonic.TEST, Mnemonic.AND, Mnemonic.OR, Mnemonic.XOR))
_SHIFTS = frozenset(
    (
        Mnemonic.SHL,
        Mnemonic.SHR,
        Mnemonic.SAR,
        Mnemonic.SAL,
        Mnemonic.ROL,
        Mnemonic.ROR,
        Mnemonic.RCL,
        Mnemonic.RCR,
        Mnemonic.SHLD,
        Mnemonic.SHRD,
    )
)


def flags_live(code: bytes, code_address: int, behind: int, *, generated: bool) -> bool:
    """Whether the instruction at ``behind``, or one it leads to, may read a flag that none before it wrote.

    ``code``: the bytes at ``code_address``, of 64-bit code; what lies outside is unknown. Direct jumps and calls are
    followed to both sides, except in ``generated`` code, where their displacements are rewritten at run time. A return,
    an indirect jump or a system call ends in the unknown: compiled code passes no flags there, hand-written code may.
    """
    pending = [(behind, _ARITHMETIC)]
    seen: dict[int, int] = {}
    for _ in range(BUDGET):
        if not pending:
            return False
        address, flags = pending.pop()
        flags &= ~seen.get(address, 0)
        if not flags:
            continue
        seen[address] = seen.get(address, 0) | flags
        instruction = _decode(code, code_address, address)
        if instruction is None or instruction.rflags_read & flags:
            return True
        flags &= ~_overwritten(instruction)
        if not flags:
            continue
        targets = _successors(instruction, generated)
        if not targets:
            return True
        pending += [(target, flags) for target in targets]
    return bool(pending)


def _decode(code: bytes, code_address: int, address: int) -> Instruction | None:
    offset = address - code_address
    if not 0 <= offset < len(code):
        return None
    instruction = Decoder(64, code[offset : offset + 15], ip=address).decode()
    return None if instruction.is_invalid else instruction


def _overwritten(instruction: Instruction) -> int:
    """The flags certainly written. A shift by 0 and a repeated string instruction with a count of 0 write none.

    What the manuals call undefined may be the old value (so it is with ``imul`` on AMD processors) and doesn't count,
    but for AF after logic: ``test``, ``and``, ``or``, ``xor`` do write it on every processor.
    """
    if instruction.mnemonic in _SHIFTS:
        last = instruction.op_count - 1
        if instruction.op_kind(last) != OpKind.IMMEDIATE8 or instruction.immediate(last) & 31 == 0:
            return 0
    if instruction.has_rep_prefix or instruction.has_repne_prefix:
        return 0
    modified, undefined = instruction.rflags_modified, instruction.rflags_undefined
    return int(modified & ~undefined | (undefined & RflagsBits.AF if instruction.mnemonic in _LOGIC else 0))


def _successors(instruction: Instruction, generated: bool) -> tuple[int, ...]:
    """Where the flags go from here; nothing where that isn't known."""
    flow = instruction.flow_control
    if flow not in _FOLLOWED:
        return ()
    if flow == FlowControl.NEXT:
        return () if _leaves(instruction) else (instruction.next_ip,)
    if generated:
        return ()
    if flow == FlowControl.CONDITIONAL_BRANCH:
        return instruction.near_branch_target, instruction.next_ip
    return (instruction.near_branch_target,)


def _leaves(instruction: Instruction) -> bool:
    return instruction.mnemonic in (Mnemonic.SYSCALL, Mnemonic.SYSENTER)
