"""The function that both htrun and other tools time (``hash.c``), and the program that calls it between two events."""

from __future__ import annotations

from pathlib import Path

from bench.workshop import Workshop


def function(shop: Workshop) -> str:
    """The object file of the function, which all programs use.

    The function is aligned, so that its position in the cache lines is the same in all programs.
    """
    return str(shop.build("hash.c", "-c", "-falign-functions=64", name="hash.o"))


def guest(shop: Workshop) -> Path:
    """The program with events, which also works without htrun."""
    return shop.build_guest("guests/hash_spans.c", function(shop))
