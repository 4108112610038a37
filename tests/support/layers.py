"""The packages of htrun from top to bottom, and what imports htrun, as in ``docs/architecture.md``."""

from __future__ import annotations

HOUSES: dict[str, frozenset[str]] = {
    "htrun": frozenset(),
    "lab": frozenset(),
    "bench": frozenset({"htrun", "lab"}),
}
"""The packages at the top of the repository, and from which others each may import. Tests may import all of them."""

LAYERS: tuple[tuple[str, ...], ...] = (
    ("commands",),
    ("benchmark", "emitters", "guest_library", "reports", "runner", "view"),
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
"""Each layer imports only from those after it; the packages of one layer don't know each other. A package inside one of
htrun's packages may be listed by itself."""

ROOT_MODULES = ("htrun", "htrun.__main__")
"""The package itself, and what ``python -m htrun`` runs: above every layer."""


def layer_of(module: str) -> int:
    """The index of the layer of ``module``, a dotted name below ``htrun``, in `LAYERS`: 0 is the top."""
    (place,) = [number for number, layer in enumerate(LAYERS) if package_of(module) in layer]
    return place


def package_of(module: str) -> str:
    """The package of `LAYERS` that ``module`` belongs to: the innermost that is named there."""
    inside = module.removeprefix("htrun.")
    names = [name for layer in LAYERS for name in layer if f"{inside}.".startswith(f"{name}.")]
    return max(names, key=len, default=inside.split(".")[0])
