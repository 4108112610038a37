"""Memory that the drain frees in a round is reused in the next round."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource
import threading
from htrun.rings.freed_memory import keep_some

keep_some()
def round():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    copies = [bytearray(4 << 20) for _ in range(COUNT)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

# Like the drain, which works in a thread of its own.
thread = threading.Thread(target=lambda: print(round(), max(round() for _ in range(20))))
thread.start()
thread.join()
"""


@pytest.mark.parametrize("count", [4, 24])
def test_pages_of_freed_memory_are_not_faulted_in_again(count: int) -> None:
    program = PROGRAM.replace("COUNT", str(count))
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    first, later = map(int, output.split())
    assert 8 * later < first
