"""The random order of the runs that are compared, and the blocks in which it is random.

If a machine gets slower in the meantime, its later runs are slower, so a fixed order of two commands favours one of
them. Therefore ``hypertrace bench`` runs the commands in a random order (Fisher 1935, The Design of Experiments). A
*block* contains the same number of runs of each command, and all orders of its runs are equally likely. So a comparison
may exchange runs of the same block, and no others. Blocks keep the runs that are exchanged close together in time.

The file ``order.json``, in the directory of each command's runs, contains the order.
"""

from __future__ import annotations

import json
import os
import random
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from htrun.analysis.timing.blocks import sizes_of
from htrun.errors import HtrunError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_FILE = "order.json"
_SEEDS = 1_000_000
"""Seeds that are chosen at random are below this number, so that they are easy to type."""
_RUN = re.compile(r"run-(\d+)")


@dataclass(frozen=True)
class RunOrder:
    """The order of the runs of several commands.

    ``bench``: a name that no other order has. ``seed``: determines the order within each block. ``sizes``: for each
    block, the number of runs of each command.
    """

    bench: str
    seed: int
    sizes: tuple[int, ...] = ()

    @classmethod
    def new(cls, seed: int | None = None) -> RunOrder:
        """An order without runs. ``seed``: None for one that is chosen at random."""
        return cls(os.urandom(8).hex(), random.SystemRandom().randrange(_SEEDS) if seed is None else seed)

    def extended(self, runs: int) -> RunOrder:
        """The order with at least ``runs`` runs of each command. Further runs form further blocks."""
        return replace(self, sizes=(*self.sizes, *sizes_of(runs - sum(self.sizes))))

    def turns(self, sides: int) -> Iterator[tuple[int, int]]:
        """The number of each run and the index of its command, in the order in which the runs are made. Runs are
        numbered from 0 for each command. ``sides``: the number of commands."""
        done = [0] * sides
        for block, size in enumerate(self.sizes):
            order = [side for side in range(sides) for _ in range(size)]
            random.Random(f"{self.seed} {block}").shuffle(order)
            for side in order:
                yield done[side], side
                done[side] += 1

    def block_of(self, number: int) -> str:
        """The name of the block of run ``number``, which counts from 0; empty if the order does not contain it."""
        for block, size in enumerate(self.sizes):
            if number < size:
                return f"{self.bench}.{block}"
            number -= size
        return ""

    def store(self, directory: Path) -> None:
        """Write the order to a command's ``directory``. Raises `HtrunError`."""
        content = {"version": 1, "bench": self.bench, "seed": self.seed, "sizes": self.sizes}
        unfinished = directory / f"{_FILE}.new"
        try:
            unfinished.write_text(json.dumps(content) + "\n")
            unfinished.replace(directory / _FILE)
        except OSError as error:
            raise HtrunError(f"cannot write to {directory}: {error.strerror}") from error


def stored_in(directory: Path) -> RunOrder | None:
    """The order in the ``directory`` of a command's runs; None if there is none. Raises `HtrunError`."""
    file = directory / _FILE
    try:
        found = json.loads(file.read_bytes())
        if found["version"] != 1:
            raise ValueError
        return RunOrder(str(found["bench"]), int(found["seed"]), tuple(int(size) for size in found["sizes"]))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise HtrunError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError):
        raise HtrunError(f"{file} does not contain the order of the runs of a bench; remove it") from None


def block_of_trace(trace: Path) -> str:
    """The name of the block of a ``trace`` that ``hypertrace bench`` has recorded; empty if it is not known.

    Raises `HtrunError`.
    """
    match = _RUN.fullmatch(trace.name)
    order = None if match is None else stored_in(trace.parent)
    return "" if match is None or order is None else order.block_of(int(match[1]) - 1)


def common_order(directories: Sequence[Path]) -> RunOrder | None:
    """The order that all ``directories`` have; None if they have different orders, or none.

    If a bench was killed while it extended the order, some directories have only its first blocks. Raises `HtrunError`.
    """
    orders = [stored_in(directory) for directory in directories]
    found = [order for order in orders if order is not None]
    if len(found) < len(orders) or len({(order.bench, order.seed) for order in found}) > 1:
        return None
    return max(found, key=lambda order: len(order.sizes))
