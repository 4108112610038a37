"""As span.c, in Python. Prints only the figure."""

import sys
import time

from hypertrace_guest import span


def measure(spans: int) -> float:
    """The processor time of a span in ns."""
    begin = time.thread_time_ns()
    for i in range(spans):
        with span("work", size=i):
            pass
    middle = time.thread_time_ns()
    for _ in range(spans):
        pass
    return (2 * middle - begin - time.thread_time_ns()) / spans


def main() -> None:
    """The best of many blocks."""
    blocks, spans = (int(word) for word in [*sys.argv[1:], *("300", "5000")[len(sys.argv) - 1 :]])
    print(f"{min(measure(spans) for _ in range(blocks)):.2f}")


main()
