"""Shows a trace on the terminal while the trace is being written."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from htrun.view.figures import Rates, Sparks
from htrun.view.keys import Ended, taken_over
from htrun.view.screen import Moment, screen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from htrun.view.figures import LiveTrace


def watch(
    trace: LiveTrace,
    running: Callable[[], bool],
    interval: float,
    title: Callable[[], str],
    latest: Callable[[], Sequence[str]],
) -> bool:
    """Show ``trace`` on the terminal until it is complete and ``running`` returns False, or until the user quits.
    Returns False if the user has quit, otherwise True.

    ``interval``: the time between two updates, in seconds.
    ``title``: a function that returns the name of the traced program.
    ``latest``: a function that returns the lines of the latest events, in order of time.
    """
    begun, rates, sparks, console = time.monotonic(), Rates(), Sparks(), Console()
    follower = trace.follower
    try:
        with taken_over(sys.stdin.fileno()) as keys, Live(console=console, screen=True, auto_refresh=False) as live:
            while True:
                # `running` is called before the trace is read, so that no event written before the end is missed.
                going_on = running() or follower.running() or trace.figures is None
                trace.read()
                rates.note(time.monotonic(), trace.counts())
                sparks.rates.append(rates.of(None))
                moment = Moment(
                    title(), begun, trace.figures, follower.streams, follower.discarded, rates, sparks, latest()
                )
                live.update(screen(moment, console.size.width, console.size.height), refresh=True)
                if not going_on:
                    return True
                if b"q" in keys.wait(interval):
                    return False
    except KeyboardInterrupt:
        return False
    except Ended as ended:
        # Let the signal kill this process, as it would without the screen.
        signal.signal(ended.number, signal.SIG_DFL)
        os.kill(os.getpid(), ended.number)
        raise
