"""The events htrun knows, by the names QEMU gave them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Definition:
    """One kind of event. ``name``: as in patterns and traces. ``fields``: those before the arguments."""

    name: str
    fields: tuple[str, ...]

    def field_names(self, num_args: int) -> tuple[str, ...]:
        """Every field of an event with ``num_args`` arguments, in the order of a trace."""
        return self.fields + tuple(f"arg{number}" for number in range(1, num_args + 1))


HYPERTRACE = Definition("guest_hypertrace", ("index",))
"""A guest stored an index to the control region."""

DEFINITIONS = (HYPERTRACE,)
"""Every kind of event that a pattern can name."""
