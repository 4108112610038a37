"""Texts of times."""

from __future__ import annotations

_UNITS = ((1e9, "s"), (1e6, "ms"), (1e3, "us"), (1.0, "ns"))


def nanoseconds(value: float) -> str:
    """The text of a time in ns, in a unit that leaves few digits."""
    for size, unit in _UNITS:
        if abs(value) >= size or unit == "ns":
            scaled = value / size
            digits = 0 if scaled == 0 else 2 if abs(scaled) < 10 else 1 if abs(scaled) < 100 else 0
            return f"{scaled:.{digits}f} {unit}"
    raise AssertionError(value)
