"""How ratios are printed."""

from __future__ import annotations

import pytest

from htrun.analysis.timing.comparison import Comparison, Ratio, Verdict
from htrun.reports.comparison import ComparisonReport, text


@pytest.mark.parametrize(
    ("ratio", "told"),
    [
        (Ratio(1.0, 0.9, 1.1), "1.000  0.900 to 1.100"),
        (Ratio(999_999.5, 0.001, 999_999.9), "999999.500  0.001 to 999999.900"),
        (Ratio(1.0, 9.86e-305, 1.014e304), "1.000  9.9e-305 to 1.0e+304"),
        (Ratio(1.0, 0.0, float("inf")), "1.000    -  1"),
    ],
)
def test_a_ratio_takes_a_few_characters_however_little_is_certain(ratio: Ratio, told: str) -> None:
    comparison = Comparison("job", (60.0, 60.0), (1, 1), (3, 3), ratio, 1.0, Verdict.INCONCLUSIVE)
    shown = "".join(text(ComparisonReport([comparison], {}, [], corrected=True)))
    [line] = [line for line in shown.splitlines() if line.startswith("job")]
    assert told in line
    assert len(line) < 100
