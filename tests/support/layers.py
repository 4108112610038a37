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
    ("hosts.fastpath",),
    ("ctf", "hosts.x86_64.fastpath"),
    ("tracee",),
    ("hosts",),
    ("rings",),
    ("events", "channel"),
    ("machine_code",),
    ("errors",),
)
"""Each layer imports only from those after it; the packages of one layer don't know each other. A package within one of
htrun's stands for itself where it is named."""

ROOT_MODULES = ("htrun", "htrun.__main__")
"""The package itself, and what ``python -m htrun`` runs: above every layer."""


def layer_of(module: str) -> int:
    """The place of ``module``, a dotted name below ``htrun``, in `LAYERS`: 0 is the top."""
    (place,) = [number for number, layer in enumerate(LAYERS) if package_of(module) in layer]
    return place


def package_of(module: str) -> str:
    """The package of `LAYERS` that ``module`` belongs to: the innermost that is named there."""
    inside = module.removeprefix("htrun.")
    names = [name for layer in LAYERS for name in layer if f"{inside}.".startswith(f"{name}.")]
    return max(names, key=len, default=inside.split(".")[0])
