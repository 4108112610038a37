"""Formats the texts that arguments of system calls point to, in the notation of C or of JSON.

For people, the texts are C strings as in strace. If a text was cut, an ellipsis follows::

    "/etc/hosts"    "\\177ELF\\2\\1\\1"...    ["ls", "-l"]
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from htrun.events.text_arguments import Pointed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from htrun.events.call_texts import Text

_NAMED = {0x09: "\\t", 0x0A: "\\n", 0x0B: "\\v", 0x0C: "\\f", 0x0D: "\\r", 0x22: '\\"', 0x5C: "\\\\"}
_SPECIAL = re.compile(rb"[^ !#-\[\]-~](?=([0-7]?))")
_ELLIPSIS = "..."


def as_c(pointed: Pointed, texts: Sequence[Text]) -> bytes:
    """``texts`` in the notation of C. All texts must belong to one argument."""
    if pointed is not Pointed.STRINGS:
        return _c_string(texts[0])
    return b"[" + b", ".join(_c_string(text) if text.data or not text.cut else b"..." for text in texts) + b"]"


def as_json(pointed: Pointed, texts: Sequence[Text]) -> bytes:
    """``texts`` as a JSON string, or as an array of JSON strings. Bytes that are not UTF-8 are escaped as in C."""
    strings = [text.data.decode(errors="backslashreplace") + (_ELLIPSIS if text.cut else "") for text in texts]
    return json.dumps(strings if pointed is Pointed.STRINGS else strings[0], separators=(",", ":")).encode()


def _c_string(text: Text) -> bytes:
    quoted = _SPECIAL.sub(_escape, text.data)
    return b'"' + quoted + b'"' + (_ELLIPSIS.encode() if text.cut else b"")


def _escape(match: re.Match[bytes]) -> bytes:
    octet = match[0][0]
    if octet in _NAMED:
        return _NAMED[octet].encode()
    # Before a digit, the escape sequence needs three digits. Otherwise the digit would be part of the escape sequence.
    return b"\\%03o" % octet if match[1] else b"\\%o" % octet
