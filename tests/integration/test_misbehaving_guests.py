"""Guests that misuse the channel: at most one warning for each kind and address, the guest continues, the count is
right."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.run import Htrun, Result
from tests.support.toolchain import Toolchain

_GUESTS = Path(__file__).parent / "guests"


@pytest.fixture(params=[(), ("--no-patch",)], ids=["patched", "trapped"])
def options(request: pytest.FixtureRequest) -> tuple[str, ...]:
    given: tuple[str, ...] = request.param
    return given


def _arguments(result: Result) -> list[int]:
    assert "Traceback" not in result.stderr
    assert all(line.startswith("htrun: warning: ") for line in result.stderr.splitlines()), result.stderr
    assert not result.channel.is_symlink()
    assert not result.channel.exists()
    assert result.summary["lost"] == 0
    assert result.summary["events"] == len(result.events)
    return [event.args[0] for event in result.events]


def test_wild_stores(options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun) -> None:
    result = htrun.run(toolchain.compile(_GUESTS / "bad_stores.c"), options=options)
    assert (result.status, result.stdout) == (0, "done\n")
    assert _arguments(result) == [number for i in range(10) for number in (i, 100 + i)]
    assert result.summary["warnings"]["wild-index"] == 20
    assert result.summary["warnings"]["wrong-offset"] >= 20
    assert 1 <= len(result.stderr.splitlines()) <= 6, "one line for each kind and site, not for each store"


def test_load(options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun) -> None:
    result = htrun.run(toolchain.compile(_GUESTS / "bad_load.c"), options=options)
    assert (result.status, result.stdout) == (-11, "signal 11 code 2 address 1\n")
    assert _arguments(result) == [1, 2]
    assert result.summary["warnings"]["load"] == 2


def test_scribbling(options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun) -> None:
    result = htrun.run(toolchain.compile(_GUESTS / "bad_scribbler.c"), options=options)
    assert (result.status, result.stdout) == (0, "signal 11\ntruncated 0\ndone\n")
    warnings = [line for line in result.stderr.splitlines() if not line.startswith("pwrite: ")]
    assert warnings == []
    assert [event.args[0] for event in result.events] == [1, 2, 3, 4]
    assert result.summary["events"] == 4


def test_remapping(options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun) -> None:
    result = htrun.run(toolchain.compile(_GUESTS / "bad_remapper.c"), options=options)
    assert (result.status, result.stdout) == (0, "ordinary memory 77\ndone\n")
    arguments = _arguments(result)
    assert arguments[:1003] == list(range(1003))
    # Whether mprotect may open the control region is htrun's choice; if it does not, the store is an event.
    assert arguments[1003:] in ([], [1003])


def test_a_thousand_mappings_at_once(options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun) -> None:
    result = htrun.run(toolchain.compile(_GUESTS / "bad_holder.c"), options=options)
    assert (result.status, result.stdout) == (0, "mapped\n")
    assert _arguments(result) == list(range(1000))


def test_a_machine_survives_its_guest(options: tuple[str, ...], toolchain: Toolchain, htrun: Htrun) -> None:
    """With these accesses, the guest could kill its emulator. So loads return zeros, and stores are ignored."""
    program = toolchain.compile(_GUESTS / "bad_machine.c", flags=("-O1",))
    copy = htrun.directory / "bin" / "qemu-system-any"
    copy.parent.mkdir()
    copy.write_bytes(program.read_bytes())
    copy.chmod(0o755)
    result = htrun.run(copy, options=options)
    assert (result.status, result.stdout) == (0, "done\n"), result.stderr
    assert _arguments(result) == [1, 2]
    # Each store of `fill` and `plain_stores` traps separately. Some of the other stores write many bytes with one
    # instruction.
    assert result.summary["warnings"]["wrong-offset"] == 256 + 3 * 5
    assert result.summary["warnings"]["header-store"] > 256 + 2 * 3 * 5
    assert len(result.stderr.splitlines()) <= 8, "one line for each kind and place, not for each store"
