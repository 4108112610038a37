"""Spans that begin after a long silence: they must not contain a trap that htrun causes.

The drain sleeps during a long silence, and the next event traps to wake it up. This must not make all spans longer in a
program that emits rarely.
"""

from __future__ import annotations

import pytest

from tests.support.run import Htrun
from tests.support.toolchain import Toolchain

SPANS = 6
GUEST = r"""
#include <qemu-hypertrace.h>
#include <time.h>

/* Emits two events at a time, after a silence of many rounds of the drain. */
int main(void)
{
    const struct timespec silence = {0, 300000000};

    if (qemu_hypertrace_init(NULL) != 0) {
        return 1;
    }
    for (int span = 0; span < SPANS; span++) {
        nanosleep(&silence, NULL);
        qemu_hypertrace_data(0)[0] = 1;
        qemu_hypertrace(0);
        qemu_hypertrace_data(0)[0] = 2;
        qemu_hypertrace(0);
    }
    return 0;
}
"""


@pytest.mark.parametrize("timestamp", ["tsc", "ordered"])
def test_a_site_traps_once_in_spite_of_silence(htrun: Htrun, toolchain: Toolchain, timestamp: str) -> None:
    guest = toolchain.compile_text(GUEST, "silent", flags=(f"-DSPANS={SPANS}",))
    result = htrun.run(guest, options=("--timestamp", timestamp)).check()
    assert [event.args[0] for event in result.events] == [1, 2] * SPANS
    # The library's first store, a begin and an end.
    assert [site["traps"] for site in result.summary["sites"]] == [1, 1, 1]
