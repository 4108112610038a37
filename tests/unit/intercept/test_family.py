"""The state that a process shares with its forked relatives."""

from __future__ import annotations

from htrun.intercept.family import Family


def test_whether_the_next_thread_will_emit() -> None:
    family = Family()

    def emits_after(emitted: bool, threads: int = 1) -> bool:
        for _ in range(threads):
            family.learn(emitted=emitted)
        return family.emits

    assert not emits_after(True, threads=0)
    assert not emits_after(True), "that was its first thread"
    assert emits_after(True)
    assert emits_after(True, threads=10)
    assert emits_after(False)
    assert emits_after(False)
    assert not emits_after(False), "of the last, more did not"
