"""Reports of measured figures: JSON, tables, the plot, the README and the verdicts."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from bench.documents import BEGIN, END, TRACED_BEGIN, TRACED_END, update, update_page, update_readme
from bench.goals import Goal, Measure
from bench.groups import TRACED
from bench.model import Group
from bench.plot import Bar, bar_chart
from bench.results import Report, Result, Status, Verdict
from bench.tables import figure, markdown, print_report
from htrun.errors import HtrunError
from tests.unit.bench.fakes import GROUP, PROBED, constant, report, told_apart

BASE = constant("base", 10.0, 20.0, 10.0)
OTHER = constant("other", 30.0, 60.0, 30.0)
SKIPPED = Result("gone", "the gone", "cost", Status.SKIPPED, "no package")


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    saved = report(BASE, OTHER, SKIPPED)
    saved.save(tmp_path / "new" / "latest.json")
    assert Report.load(tmp_path / "new" / "latest.json") == saved


def test_the_file_holds_the_derived_figures(tmp_path: Path) -> None:
    report(BASE, OTHER, SKIPPED).save(tmp_path / "latest.json")
    _, other, skipped = json.loads((tmp_path / "latest.json").read_text())["results"]
    assert other["derived"] == {
        "median": 30,
        "low": 30,
        "high": 45,
        "p50": 15,
        "p99": None,
        "ratio": 3,
        "difference": 20,
    }
    assert skipped["derived"] == {}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.0, "0.00"),
        (0, "0"),
        (1234, "1,234"),
        (1.234, "1.23"),
        (9.999, "10.00"),
        (12.34, "12.3"),
        (123.4, "123"),
        (12345.6, "12,346"),
    ],
)
def test_figures_have_three_digits(value: float | None, text: str) -> None:
    assert figure(value) == text


def test_the_table_has_ratios_and_leaves_out_what_was_not_measured() -> None:
    lines = markdown(report(BASE, OTHER, SKIPPED)).splitlines()
    assert lines[0] == "**What an event costs**"
    assert lines[2] == "|  | ns | quartiles | ratio to base | single event, p50 | single event, p99 | lost |"
    assert lines[5] == "| the other | 30.0 | 30.0 to 45.0 | 3.00 | 15.0 |  | 0 |"
    assert len(lines) == 6


def test_the_table_of_a_probed_group_tells_undisturbed_bursts_beside_all() -> None:
    results = (
        told_apart("base", [20, 20], 10),
        told_apart("other", [60.0, 60.0], 15.5, 5),
        told_apart("shared", [80.0, 80.0], None, 4),
    )
    lines = markdown(report(*results, constant("trap", 9.0, 9.0), group=PROBED)).splitlines()
    assert lines[2].startswith(
        "|  | ns | quartiles | ratio to base | ns, undisturbed | ratio, undisturbed | undisturbed bursts |"
    )
    assert "| 60.0 | 60.0 to 60.0 | 3.00 | 15.5 | 1.55 | 5 of 60 |" in lines[5]
    assert "| 80.0 | 80.0 to 80.0 | 4.00 | too few |  | 4 of 60 |" in lines[6]
    assert "| 9.00 | 9.00 to 9.00 | 0.45 |  |  |  |" in lines[7]


def test_a_report_of_a_probed_group_survives_its_file(tmp_path: Path) -> None:
    saved = report(
        told_apart("base", [20], 10), told_apart("other", [60], 15), told_apart("few", [1], None), group=PROBED
    )
    saved.save(tmp_path / "latest.json")
    assert Report.load(tmp_path / "latest.json") == saved
    _, other, few = json.loads((tmp_path / "latest.json").read_text())["results"]
    assert (other["derived"]["ratio"], other["derived"]["undisturbed_ratio"]) == (3, 1.5)
    assert few["derived"]["undisturbed_ratio"] is None
    assert "bursts" not in other["samples"][0]


def test_the_plot_is_well_formed_and_longer_for_more() -> None:
    root = ElementTree.fromstring(bar_chart("a < b & c", "ns", [Bar("one", 10.0, True), Bar("two", 12345.0, False)]))
    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    assert [bar.get("class") for bar in bars] == ["ours", "other"]
    assert float(bars[0].get("width", "")) < float(bars[1].get("width", ""))
    texts = [text.text for text in root.findall("{http://www.w3.org/2000/svg}text")]
    assert "a < b & c" in texts
    assert {"10.0 ns", "12.3 µs", "100 µs"} <= set(texts)


def test_the_readme_changes_between_its_markers_only(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        update_readme(readme, report(BASE, OTHER), "bench/results/latest.svg", {"base"})
    text = readme.read_text()
    assert text.startswith(
        f"before\n{BEGIN}\nMeasured by `make bench` on 2026-01-02: a processor, Linux, Debian, a virt"
    )
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert text.count("![What an event costs](bench/results/latest.svg)") == 1
    assert text.count("|  | ns | quartiles | ratio to base |") == text.count("| the base |") == 1
    assert "the other" not in text


def test_the_page_has_every_table_and_the_goals(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    others = replace(GROUP, name="others", title="Other figures", baseline="other")
    both = report(BASE, replace(OTHER, group="others"))
    update_page(page, replace(both, groups=(*both.groups, others)))
    text = page.read_text()
    assert text.count("| the base |") == 1
    assert text.count("**Other figures**") == text.count("| the other |") == 1
    assert "| a goal | 1.50 |  | met |" in text


def test_a_run_of_what_tracing_costs_changes_its_table_only(tmp_path: Path) -> None:
    """One row for each group, and after each figure its ratio to the control's."""
    readme, page = tmp_path / "README.md", tmp_path / "benchmarks.md"
    readme.write_text("no markers\n")
    page.write_text(f"before\n{TRACED_BEGIN}\nold\n{TRACED_END}\nbetween\n{BEGIN}\nold\n{END}\nafter\n")

    def result(group: Group, name: str, title: str, *values: float) -> Result:
        return replace(constant(name, *values), title=title, group=group.name)

    fork, masks = TRACED["fork"], TRACED["masks"]
    results = (
        result(fork, "fork-strace", "strace", 10.0, 20.0),
        result(fork, "fork", "alone", 5.0, 5.0),
        result(fork, "fork-events", "events", 20.0, 40.0),
        result(masks, "masks-strace", "strace", 1.0, 1.0),
        result(masks, "masks", "alone", 0.5, 0.5),
    )
    update(readme, page, replace(report(), groups=(fork, masks), results=results), "plot.svg")
    assert readme.read_text() == "no markers\n"
    before, rest = page.read_text().split(TRACED_BEGIN)
    table, after = rest.split(TRACED_END)
    assert (before, after) == ("before\n", f"\nbetween\n{BEGIN}\nold\n{END}\nafter\n")
    assert table.splitlines()[3:] == [
        "**Times in us, and the ratio to the first column**",
        "",
        "|  | strace | alone | events |",
        "|---|---:|---:|---:|",
        "| fork, exit and wait | 15.0 | 5.00 (0.38) | 30.0 (2.00) |",
        "| Two calls of sigprocmask | 1.00 | 0.50 (0.50) |  |",
    ]


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{BEGIN}{END}"])
def test_a_readme_without_proper_markers_is_left_alone(tmp_path: Path, text: str) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(HtrunError, match="must each appear exactly once"):
        update_readme(readme, report(BASE), "plot.svg")
    assert readme.read_text() == text


@pytest.mark.parametrize(
    ("measure", "limit", "reached", "met"),
    [
        (Measure.AT_MOST, 3.1, 3, True),
        (Measure.AT_MOST, 2.9, 3, False),
        (Measure.AT_LEAST, 2.9, 3, True),
        (Measure.AT_LEAST, 3.1, 3, False),
        (Measure.BEYOND, 21, 20, True),
        (Measure.BEYOND, 19, 20, False),
        (Measure.REACHES, 30, 30, True),
        (Measure.REACHES, 31, 30, False),
        (Measure.TAKES, 30, 30, True),
        (Measure.TAKES, 29, 30, False),
        (Measure.AGREES, 201, 200, True),
        (Measure.AGREES, 199, 200, False),
    ],
)
def test_goals_are_judged_by_pairs(measure: Measure, limit: float, reached: float, met: bool) -> None:
    verdict = Goal("other", measure, "base", limit).judge([BASE, OTHER])
    assert verdict is not None
    assert (verdict.reached, verdict.met) == (reached, met)


def test_peers_agree_on_either_side() -> None:
    less, more = constant("less", 9.9, 19.8, 9.9), constant("more", 10.1, 20.2, 10.1)
    for each in (less, more):
        verdict = Goal(each.name, Measure.AGREES, "base", 2).judge([BASE, each])
        assert verdict is not None
        assert (verdict.text, verdict.met) == (f"{each.name}: within 2% of base", True)
        assert verdict.reached == pytest.approx(1)


def test_goals_of_a_probed_group_are_judged_by_undisturbed_bursts() -> None:
    results = [told_apart("base", [20, 20], 10), told_apart("other", [60, 60], 15), told_apart("few", [20, 20], None)]
    assert Goal("other", Measure.AT_MOST, "base", 1.6).judge(results) == Verdict(
        "other: at most 1.6 times base", 1.5, True, of_all=3
    )
    assert Goal("other", Measure.AT_LEAST, "base", 1.6).judge(results) == Verdict(
        "other: at least 1.6 times base", 1.5, False, of_all=3
    )
    for limit in (0.5, 1.5):
        verdict = Goal("few", Measure.AT_MOST, "base", limit).judge(results)
        assert verdict == Verdict(f"few: at most {limit:g} times base", None, False, of_all=1)


def test_a_verdict_is_printed_with_what_all_bursts_say() -> None:
    output = StringIO()
    verdicts = Verdict("one", 1.5, True, 3.0), Verdict("two", None, False, 3.0), Verdict("three", 2.0, False)
    print_report(replace(report(), verdicts=verdicts), Console(file=output, width=100))
    assert output.getvalue().splitlines() == [
        "met    one: 1.50 (all bursts: 3.00)",
        "open   two: too few undisturbed bursts (all bursts: 3.00)",
        "missed three: 2.00",
    ]


def test_a_goal_without_its_figures_has_no_verdict() -> None:
    assert Goal("gone", Measure.AT_MOST, "base", 1).judge([BASE, SKIPPED]) is None
