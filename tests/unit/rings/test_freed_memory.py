"""Memory that the drain frees in a round is reused in the next round."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource
from htrun.rings.freed_memory import keep_some

keep_some()
def round():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    copies = [bytearray(4 << 20) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(round(), max(round() for _ in range(20)))
"""


def test_pages_of_freed_memory_are_not_faulted_in_again() -> None:
    output = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True).stdout
    first, later = map(int, output.split())
    assert 8 * later < first
