"""The packages of htrun from top to bottom, and who lives off it, as ``docs/architecture.md`` draws them."""

from __future__ import annotations

HOUSES: dict[str, frozenset[str]] = {
    "htrun": frozenset(),
    "lab": frozenset(),
    "bench": frozenset({"htrun", "lab"}),
}
"""What is imported by others, and from which of the others each may import. Tests may import all of it."""

LAYERS: tuple[tuple[str, ...], ...] = (
    ("commands",),
    ("benchmark", "reports", "runner", "view"),
    ("launch", "intercept", "sinks", "analysis"),
    ("ctf", "x86", "tracee"),
    ("rings",),
    ("events", "channel"),
    ("machine_code",),
    ("errors",),
)
"""Each layer imports only from those after it; the packages of one layer don't know each other."""

ROOT_MODULES = ("htrun", "htrun.__main__")
"""The package itself, and what ``python -m htrun`` runs: above every layer."""


def layer_of(module: str) -> int:
    """The place of ``module``, a dotted name below ``htrun``, in `LAYERS`: 0 is the top."""
    part = module.split(".")[1]
    (place,) = [number for number, layer in enumerate(LAYERS) if part in layer]
    return place
