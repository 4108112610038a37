"""``hypertrace bench --tune`` on files like those in /sys: settings are changed, reported, and always restored at the
end of the bench."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from htrun.commands.hypertrace import main
from htrun.runner import tuning
from htrun.runner.tuning import settings, tuned

CPUS = Path("sys/devices/system/cpu")
FOUND = {
    "cpu0/cpufreq/scaling_governor": "powersave",
    "cpu1/cpufreq/scaling_governor": "performance",
    "intel_pstate/no_turbo": "0",
    "cpufreq/boost": "1",
}
TUNED = {
    "cpu0/cpufreq/scaling_governor": "performance",
    "cpu1/cpufreq/scaling_governor": "performance",
    "intel_pstate/no_turbo": "1",
    "cpufreq/boost": "0",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory with the files of a machine that is not tuned."""
    for name, text in FOUND.items():
        path = tmp_path / CPUS / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return tmp_path


def held(root: Path) -> dict[str, str]:
    """The current contents of the files."""
    return {name: (root / CPUS / name).read_text().strip() for name in FOUND}


def test_a_machine_is_tuned_and_put_back(root: Path) -> None:
    told: list[str] = []
    with tuned(told.append, root):
        assert held(root) == TUNED
        # A setting that is already right is neither changed nor reported.
        assert [line.partition(": ")[2].removeprefix(f"{root / CPUS}/") for line in told] == [
            "cpu0/cpufreq/scaling_governor: powersave is now performance",
            "intel_pstate/no_turbo: 0 is now 1",
            "cpufreq/boost: 1 is now 0",
        ]
    assert held(root) == FOUND
    assert len(told) == 3


def test_a_failure_puts_it_back(root: Path) -> None:
    def fail() -> None:
        with tuned(lambda _: None, root):
            assert held(root) == TUNED
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert held(root) == FOUND


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_puts_it_back(root: Path, number: signal.Signals) -> None:
    program = (
        "import sys, time; from pathlib import Path; from htrun.runner.tuning import tuned\n"
        "with tuned(lambda _: None, Path(sys.argv[1])):\n"
        "    print('tuned', flush=True)\n"
        "    while True: time.sleep(0.01)\n"
    )
    # signal.pause() is not used: if the signal arrived just before it, and Python had not run the handler yet, it would
    # wait forever.
    with subprocess.Popen(
        [sys.executable, "-c", program, root], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "tuned\n"
        assert held(root) == TUNED
        process.send_signal(number)
        status = process.wait(timeout=240)
    assert status == (-number if number == signal.SIGINT else 128 + number)
    assert held(root) == FOUND


def test_a_signal_that_is_ignored_stays_so(root: Path) -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with tuned(lambda _: None, root):
            signal.raise_signal(signal.SIGHUP)
            assert held(root) == TUNED
    finally:
        signal.signal(signal.SIGHUP, former)


def test_what_may_not_be_written_is_told(root: Path) -> None:
    governor = root / CPUS / "cpu0/cpufreq/scaling_governor"
    governor.unlink()
    governor.mkdir()
    told: list[str] = []
    with tuned(told.append, root):
        pass
    assert f"--tune: {governor}: Is a directory" in told


def test_what_cannot_be_put_back_is_told(root: Path) -> None:
    boost = root / CPUS / "cpufreq/boost"
    told: list[str] = []
    with tuned(told.append, root):
        boost.unlink()
        boost.mkdir()
    assert told[-1] == f"--tune: {boost} could not be restored to 1: Is a directory"


def test_a_machine_that_shows_nothing_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    with tuned(told.append, tmp_path):
        pass
    assert told == ["--tune: this machine has neither a governor nor a turbo setting that can be changed"]


def test_bench_tunes_for_its_runs_only(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tuning, "settings", lambda _: settings(root))
    seen = tmp_path / "seen"
    governor = root / CPUS / "cpu0/cpufreq/scaling_governor"
    program = ["sh", "-c", 'cat "$0" > "$1"', str(governor), str(seen)]
    assert main(["bench", "--tune", "--runs", "1", "--warmup", "0", "--", *program]) == 0
    assert seen.read_text() == "performance"
    assert held(root) == FOUND
    assert f"hypertrace: --tune: {governor}: powersave is now performance\n" in capfd.readouterr().err
    # Without --tune, nothing is changed.
    assert main(["bench", "--runs", "1", "--warmup", "0", "--", *program]) == 0
    assert seen.read_text().strip() == "powersave"
