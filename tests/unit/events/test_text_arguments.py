"""The arguments of system calls that point to text."""

from __future__ import annotations

import pytest

from htrun.events.syscalls import ARCH_I386, ARCH_X86_64, table
from htrun.events.text_arguments import Pointed, TextArgument, text_arguments

STRING = Pointed.STRING


@pytest.mark.parametrize("arch", [ARCH_X86_64, ARCH_I386])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("open", [TextArgument(0, STRING)]),
        ("openat", [TextArgument(1, STRING)]),
        ("renameat2", [TextArgument(1, STRING), TextArgument(3, STRING)]),
        ("mount", [TextArgument(place, STRING) for place in range(3)]),
        ("statx", [TextArgument(1, STRING)]),
        ("write", [TextArgument(1, Pointed.BYTES, size=2)]),
        ("read", [TextArgument(1, Pointed.BYTES, after=True)]),
        ("readlink", [TextArgument(0, STRING), TextArgument(1, Pointed.BYTES, after=True)]),
        ("getcwd", [TextArgument(0, STRING, after=True)]),
        ("setxattr", [TextArgument(0, STRING), TextArgument(1, STRING), TextArgument(2, Pointed.BYTES, size=3)]),
        ("execve", [TextArgument(0, STRING), TextArgument(1, Pointed.STRINGS)]),
        ("close", []),
        ("mincore", []),
        ("writev", []),
    ],
)
def test_what_calls_point_to(arch: int, name: str, expected: list[TextArgument]) -> None:
    assert list(text_arguments(arch, table(arch).numbers[name])) == expected


@pytest.mark.parametrize("arch", [ARCH_X86_64, ARCH_I386])
def test_each_call_fills_in_one_at_most_and_sizes_are_arguments(arch: int) -> None:
    """The plans of the machine code depend on this."""
    for number in table(arch).names:
        arguments = text_arguments(arch, number)
        assert sum(each.after for each in arguments) <= 1
        assert all(0 <= each.place < 6 and (each.size is None or 0 <= each.size < 6) for each in arguments)


def test_of_a_call_that_there_is_not_nothing_is_known() -> None:
    assert text_arguments(ARCH_X86_64, 9999) == ()
    assert text_arguments(0, 1) == ()
