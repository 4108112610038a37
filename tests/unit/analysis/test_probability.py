"""The distributions agree with those of scipy."""

from __future__ import annotations

import pytest
from scipy import special, stats

from htrun.analysis.timing import probability
from htrun.analysis.timing.probability import (
    chi2_quantile,
    incomplete_beta,
    incomplete_gamma,
    noncentral_t_above,
    normal_above,
    normal_quantile,
    root,
    t_quantile,
)


def same(value: float, wanted: float, relative: float = 1e-9) -> None:
    """Check that the numbers agree."""
    assert value == pytest.approx(wanted, rel=relative, abs=1e-14)


@pytest.mark.parametrize("a", [0.5, 1, 2.5, 40, 3000, 50_000])
@pytest.mark.parametrize("b", [0.5, 1, 7, 900, 50_000])
def test_incomplete_beta(a: float, b: float) -> None:
    for x in (0, 1e-6, 0.1, 0.4999, 0.5, 0.7, 0.999999, 1):
        same(incomplete_beta(a, b, x), float(special.betainc(a, b, x)), 1e-8)


@pytest.mark.parametrize("a", [0.5, 1, 4, 100, 5000])
def test_incomplete_gamma(a: float) -> None:
    for x in (0, 0.01 * a, 0.5 * a, a, 1.2 * a, 3 * a):
        same(incomplete_gamma(a, x), float(special.gammainc(a, x)), 1e-8)


@pytest.mark.parametrize("level", [0.05, 0.01, 1e-5])
def test_quantiles(level: float) -> None:
    same(normal_quantile(level / 2), float(stats.norm.ppf(level / 2)))
    same(normal_above(2.3 / level), float(stats.norm.sf(2.3 / level)))
    for freedom in (1, 2, 5, 30, 1000):
        same(t_quantile(1 - level / 2, freedom), float(stats.t.ppf(1 - level / 2, freedom)), 1e-8)
        same(chi2_quantile(level, freedom), float(stats.chi2.ppf(level, freedom)), 1e-8)
        same(chi2_quantile(1 - level, freedom), float(stats.chi2.ppf(1 - level, freedom)), 1e-8)
    assert t_quantile(0.5, 3) == 0


@pytest.mark.parametrize("freedom", [2, 4, 10, 60, 2000])
def test_noncentral_t(freedom: int) -> None:
    for centre in (0.0, 0.5, 2.0, 6.0, 25.0):
        for value in (1.7, 2.5, 9.0):
            wanted = float(stats.nct.sf(value, freedom, centre))
            assert noncentral_t_above(value, freedom, centre) == pytest.approx(wanted, abs=2e-5)


def test_root() -> None:
    same(root(lambda x: x * x - 2, 0, 2), 2**0.5, 1e-15)
    same(root(lambda x: 2 - x * x, 0, 2), 2**0.5, 1e-15)


def test_nothing_imports_scipy() -> None:
    """scipy would double the size of an installation."""
    from tests.unit.test_architecture import MODULES, OF_HTRUN

    assert not [name for name in OF_HTRUN if "scipy" in {*_imported(MODULES[name])}]
    assert probability.__name__ in OF_HTRUN


def _imported(tree: object) -> list[str]:
    import ast

    assert isinstance(tree, ast.Module)
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [name.partition(".")[0] for name in names]
