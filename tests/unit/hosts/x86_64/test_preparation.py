"""The modules that a trap needs are loaded step by step, and quickly."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import sys
from htrun import hosts
import htrun.runner.session, htrun.intercept.patcher, htrun.intercept.traps, htrun.rings.drain
import htrun.hosts.x86_64.fastpath.trap_wait, htrun.hosts.x86_64.fastpath.known_traps
steps = 0
for _ in hosts.current().prepare(8):
    steps += 1
print(*sorted({"dataclasses", "inspect", "numpy", "lief"} & set(sys.modules)))
for name in sys.argv[1:]:
    assert name in sys.modules, name
before = set(sys.modules)
host = hosts.current()
store = host.decode_store(bytes.fromhex("49891c24"), 0x7000, 64)
host.plan(store.code + bytes(32), store.address, store.length, generated=True)
host.flags_live(store.code + bytes(32), store.address, store.address + 4, generated=True, translated=True)
print(*sorted(set(sys.modules) - before))
"""


def test_traps_need_no_slow_module_and_nothing_that_was_not_prepared() -> None:
    """dataclasses and numpy would take as long to load as everything else together."""
    needed = ["iced_x86", "htrun.hosts.x86_64.trampoline", "htrun.hosts.x86_64.patch", "htrun.hosts.x86_64.liveness"]
    done = subprocess.run([sys.executable, "-c", LOADED, *needed], capture_output=True, text=True, timeout=240)
    assert (done.stdout, done.stderr) == ("\n\n", "")
