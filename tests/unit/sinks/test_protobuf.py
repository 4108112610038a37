"""Readers of protocol buffers accept fields that are padded to one length."""

from __future__ import annotations

import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as proto

from htrun.sinks.protobuf import padded_texts


@pytest.mark.parametrize("room", [0, 1, 32, 127, 128, 4096])
def test_texts_of_several_lengths(room: int) -> None:
    texts = [b"a" * size for size in {0, room // 2, room}]
    for text, row in zip(texts, padded_texts(6, texts, room), strict=True):
        annotation = proto.DebugAnnotation.FromString(row.tobytes())
        assert annotation.string_value.encode() == text
        assert [field.name for field, _ in annotation.ListFields()] == ["string_value"]
