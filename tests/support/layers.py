"""The layers of htrun's packages, and the packages that import htrun, as listed in ``docs/architecture.md``."""

from __future__ import annotations

HOUSES: dict[str, frozenset[str]] = {
    "htrun": frozenset(),
    "lab": frozenset(),
    "bench": frozenset({"htrun", "lab"}),
}
"""The top-level packages of the repository. For each of them: the other packages from which it may import. Tests may
import all packages."""

LAYERS: tuple[tuple[str, ...], ...] = (
    ("commands",),
    ("benchmark", "completion", "emitters", "guest_library", "reports", "runner", "view"),
    ("launch", "intercept", "sinks", "analysis"),
    ("hosts.fastpath",),
    ("ctf", "hosts.x86_64.fastpath"),
    ("sched", "tracee"),
    ("hosts",),
    ("rings",),
    ("events", "channel"),
    ("machine_code",),
    ("errors",),
)
"""The layers from top to bottom. A package imports only from packages of later layers. Packages of the same layer do
not import each other. A subpackage may be in another layer than the package that contains it."""

ROOT_MODULES = ("htrun", "htrun.__main__")
"""Modules above all layers: the package itself, and the module that ``python -m htrun`` runs."""


def layer_of(module: str) -> int:
    """The index in `LAYERS` of the layer that contains ``module``, a module of ``htrun``. The top layer is 0."""
    (place,) = [number for number, layer in enumerate(LAYERS) if package_of(module) in layer]
    return place


def package_of(module: str) -> str:
    """The package in `LAYERS` that contains ``module``. If there are several, the innermost package."""
    inside = module.removeprefix("htrun.")
    names = [name for layer in LAYERS for name in layer if f"{inside}.".startswith(f"{name}.")]
    return max(names, key=len, default=inside.split(".")[0])
