"""The events that htrun can record, with the names that QEMU gave them."""

from __future__ import annotations

from typing import NamedTuple


class Definition(NamedTuple):
    """One kind of event.

    ``name``: the name in patterns and traces. ``fields``: the columns of a decoded event that are shown with its
    arguments. ``arguments``: the names of the elements of ``args``; None if the event has as many arguments as the
    run's channel. ``context``: the columns that say where the event comes from.
    """

    name: str
    fields: tuple[str, ...] = ()
    arguments: tuple[str, ...] | None = ()
    context: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that an event of this kind uses, among the columns ``site``, ``index``, ``num`` and ``arch`` of a
        decoded event."""
        return (*self.context, *self.fields)

    def argument_names(self, num_args: int) -> tuple[str, ...]:
        """The names of the arguments of an event, if the run's channel has ``num_args`` arguments."""
        return _numbered(num_args) if self.arguments is None else self.arguments

    def field_names(self, num_args: int) -> tuple[str, ...]:
        """Every field of an event, if the run's channel has ``num_args`` arguments, in the order of a trace."""
        return self.fields + self.argument_names(num_args)


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"arg{number}" for number in range(1, count + 1))


SYSCALL_ARGS = 8
"""The number of arguments of QEMU's ``guest_user_syscall``; the last two are for system calls of MIPS o32."""

HYPERTRACE = Definition("guest_hypertrace", ("index",), None, ("site",))
"""A guest stored an index to the control region."""
USER_SYSCALL = Definition("guest_user_syscall", ("num",), _numbered(SYSCALL_ARGS), ("arch",))
"""The program makes a system call."""
USER_SYSCALL_RET = Definition("guest_user_syscall_ret", ("num",), ("ret",), ("arch",))
"""A system call of the program has returned."""
TEXT_WORDS = SYSCALL_ARGS - 1
USER_SYSCALL_TEXT = Definition(
    "guest_user_syscall_text",
    ("num",),
    ("part", *(f"text{number}" for number in range(1, TEXT_WORDS + 1))),
    ("arch",),
)
"""A part of a text that an argument of a system call points to, recorded on request: `htrun.events.call_texts`.

The event directly follows the call or the return to which the text belongs, and has the same time. Readers may skip
this event.
"""
CPU_ENTER = Definition("guest_cpu_enter")
"""A thread of the guest starts."""
CPU_EXIT = Definition("guest_cpu_exit")
"""A thread of the guest exits."""

SCHED_SWITCH_OUT = Definition("sched_switch_out", (), ("processor", "preempted"))
"""A thread leaves its processor. ``preempted``: 1 if it could have gone on, 0 if it waits for something."""
SCHED_SWITCH_IN = Definition("sched_switch_in", (), ("processor",))
"""A thread gets a processor."""
MIGRATION = Definition("migration", (), ("origin", "destination"))
"""A thread gets another processor than before. The event directly precedes a `SCHED_SWITCH_IN` with the same time."""
PAGE_FAULT = Definition("page_fault", (), ("address", "processor"))
"""Code of the program uses an address for which the kernel must first provide a page."""
SCHED_LOST = Definition("sched_lost", (), ("count",))
"""Events of the kinds in `SCHED_EVENTS` were lost before this event."""

EVENTS = (HYPERTRACE, USER_SYSCALL, USER_SYSCALL_RET, CPU_ENTER, CPU_EXIT)
"""Every kind of event that a pattern can name."""
SCHED_EVENTS = (SCHED_SWITCH_OUT, SCHED_SWITCH_IN, MIGRATION, PAGE_FAULT, SCHED_LOST)
"""What the kernel does with a thread (`htrun.sched`), recorded with ``--sched``."""
DECIMAL_ARGUMENTS = frozenset({"processor", "preempted", "origin", "destination", "count"})
"""The names of arguments that are shown in decimal. Other arguments without a user's name are hexadecimal."""
DEFINITIONS = (*EVENTS, USER_SYSCALL_TEXT, *SCHED_EVENTS)
"""All kinds of events. The ``kind`` of a decoded event is an index of this tuple."""
