"""The implementation that emits: the extension if it is built, otherwise Python.

SPDX-License-Identifier: MIT
"""

from __future__ import annotations

import importlib
from typing import Any


def _load() -> Any:
    try:
        return importlib.import_module("hypertrace_guest._native")
    except ImportError:
        return importlib.import_module("hypertrace_guest._fallback")


emitter = _load()
"""The module ``_native`` or ``_fallback``, which have one interface."""
