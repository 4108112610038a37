"""Pairs of events with nothing between, which a guest emits so that the cost of an event is known.

``qemu_hypertrace_calibrate()`` of the guest library emits them. A pair's duration is what any span has too much, and
what each event within a span adds to it.
"""

from __future__ import annotations

BEGIN_ID = 0x6362_7261_7465_0001
"""``arg1`` of the event that begins a pair: ``QEMU_HYPERTRACE_CALIBRATION_BEGIN`` of the guest library."""
END_ID = 0x6362_7261_7465_0002
"""``arg1`` of the event that ends it."""
