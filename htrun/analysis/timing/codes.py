"""Sorts rows by columns of whole numbers, in linear time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    _Ints = NDArray[np.int64]

_MOST = 1 << 62
"""The maximum number of different codes."""
_DIGIT = 16
_FEW = 6
"""The number of codes below which it is faster to look for each of them than to sort."""


def codes_of(*columns: NDArray[Any]) -> _Ints:
    """A number for each row. The order of the numbers is the order of the rows. Rows are compared by the first of the
    ``columns``, then by the second, and so on. Equal rows have equal numbers. The numbers are not negative."""
    codes, size = np.zeros(len(columns[0]), np.int64), 1
    for column in columns if len(columns[0]) else ():
        least = column.min()
        count = int(column.max()) - int(least) + 1
        if count > _MOST // size:
            small: NDArray[Any] = np.unique(column, return_inverse=True)[1]
            count = int(small.max()) + 1
        else:
            small = column - least
        if count > 1:
            codes = codes * count + small.astype(np.int64)
            size *= count
    return codes


def in_order(codes: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """The positions that sort ``codes``, which must not be negative; equal codes keep their order.

    numpy sorts numbers of 16 bits in linear time, so codes are sorted by their digits of 16 bits, the last one first.
    """
    most = int(codes.max(initial=0))
    if most < _FEW:
        small = codes.astype(np.uint8)
        return np.concatenate([np.flatnonzero(small == code) for code in range(most + 1)])
    order = np.argsort(codes.astype(np.uint16), kind="stable")
    for shift in range(_DIGIT, most.bit_length(), _DIGIT):
        digits = (codes >> shift).astype(np.uint16)
        order = order[np.argsort(digits[order], kind="stable")]
    return order


def starts_of(*columns: NDArray[Any]) -> NDArray[np.intp]:
    """The positions at which a value of one of ``columns`` differs from the value before it; position 0 is one."""
    change = np.ones(len(columns[0]), np.bool_)
    change[1:] = False
    for column in columns:
        change[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(change)
