"""What a process and its forked relatives know of each other."""

from __future__ import annotations

from htrun.intercept.family import Family


def test_whether_the_next_thread_will_emit() -> None:
    family = Family()
    assert not family.emits
    family.learn(emitted=True)
    assert not family.emits, "that was its first thread"
    family.learn(emitted=True)
    assert family.emits
    for _ in range(10):
        family.learn(emitted=True)
    for _ in range(2):
        family.learn(emitted=False)
        assert family.emits
    family.learn(emitted=False)
    assert not family.emits, "of the last, more did not"
