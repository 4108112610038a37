"""program: the events that the test expects. program THREADS COUNT: emits COUNT spans and counters in each of THREADS
threads."""

import sys
import threading

import events
import hypertrace_guest


def emit(number: int, count: int) -> None:
    """Emit `count` events with keys of thread `number`."""
    for i in range(count // 2):
        with events.job(number << 32 | i, 0.5, True) as job:
            job.result = i


def main() -> int:
    """Returns the exit status."""
    if len(sys.argv) > 2:
        threads = [threading.Thread(target=emit, args=(number, int(sys.argv[2]))) for number in range(int(sys.argv[1]))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return 0
    events.request(4096, 0x10, events.request_kind.WRITE)
    with events.job(7, 0.25, True) as job:
        events.queue_depth(-3)
        job.result = -1
    events.done()
    return 0 if hypertrace_guest.is_open else 3


sys.exit(main())
