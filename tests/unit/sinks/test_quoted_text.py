"""Texts as C and JSON write them."""

from __future__ import annotations

import ast
import json

import pytest

from htrun.events.call_texts import Text
from htrun.events.text_arguments import Pointed
from htrun.sinks.quoted_text import as_c, as_json


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"", '""'),
        (b"/etc/hosts", '"/etc/hosts"'),
        (b'a"b\\c\n\t\r\v\f', r'"a\"b\\c\n\t\r\v\f"'),
        (b"\x7fELF\2\1\1", r'"\177ELF\2\1\1"'),
        (b"\x001\x008", r'"\0001\08"'),
        (b"\xc3\xa9", r'"\303\251"'),
    ],
)
def test_as_strace_writes_them(data: bytes, shown: str) -> None:
    assert as_c(Pointed.BYTES, [Text(1, 0, data)]).decode() == shown
    assert ast.literal_eval("b" + shown) == data


def test_every_byte_can_be_read_back() -> None:
    for following in (b"", b"7", b"8", b"a"):
        data = b"".join(bytes([octet]) + following for octet in range(256))
        assert ast.literal_eval("b" + as_c(Pointed.STRING, [Text(0, 0, data)]).decode()) == data


def test_one_that_was_cut_and_arrays() -> None:
    words = [Text(1, 0, b"ls"), Text(1, 1, b"-l", cut=True), Text(1, 2, b"", cut=True)]
    assert as_c(Pointed.STRINGS, words) == b'["ls", "-l"..., ...]'
    assert json.loads(as_json(Pointed.STRINGS, words)) == ["ls", "-l...", "..."]
    assert as_c(Pointed.STRING, words[1:]) == b'"-l"...'
    assert json.loads(as_json(Pointed.BYTES, [Text(1, 0, b"\0\xff\xc3\xa9")])) == "\0\\xff\u00e9"
