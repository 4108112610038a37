"""The metadata of a native trace: the layout of its packets, in CTF 1.8's language TSDL.

The layout is made for the rings: the header and the context of a packet fill exactly `PACKET_HEADER` bytes, and an
event has the layout of a record in a ring. In streams that threads share, each event also contains its thread. For
streams of one thread and for shared streams, there is one stream class for each byte order of the arguments.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from htrun.ctf.layout import BITS, COMM_SIZE, MAGIC
from htrun.events.call_texts import TEXT_BYTES
from htrun.events.definitions import HYPERTRACE, USER_SYSCALL_TEXT, Definition
from htrun.rings.layout import PACKET_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from htrun.events.clock import Fit
    from htrun.events.stream import Stream

FIRST_SHARED_CLASS, FIRST_TRACER_CLASS = 2, 4
"""The numbers of the first stream classes of two kinds.

Classes 0 and 1 are for the ``guest_hypertrace`` events of one thread (little-endian, big-endian). Classes 2 and 3 are
for streams that threads share. The classes from 4 on are for the tracer's own events.
"""

_HEADER = struct.Struct("<I16sIQ96xQQIII16s20xQ24xQ8xQQ")
"""The fields of a packet's header and context, with the gaps between them that the alignments cause."""
_ORDERS = ("le", "be")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}


class Packet(NamedTuple):
    """The contents of a packet's header. ``begin``, ``end``: the ticks of the first and the last record.

    ``records_size``: the size of the records in bytes. ``discarded``: the number of events that the stream had lost at
    the end of the packet. ``number``: the number of earlier packets of the stream. ``instance``: the stream's number in
    the trace. ``padding``: the number of unused bytes at the end of the packet, after the records. ``stream_class``:
    the number of the stream's class.
    """

    begin: int
    end: int
    records_size: int
    discarded: int
    number: int
    instance: int
    padding: int = 0
    stream_class: int = 0

    @property
    def size(self) -> int:
        """The size of the whole packet in bytes."""
        return PACKET_HEADER + self.records_size + self.padding


def packet_header(uuid: UUID, stream: Stream, packet: Packet) -> bytes:
    """The `PACKET_HEADER` bytes that, together with the records after them, form a CTF packet."""
    return _HEADER.pack(
        MAGIC,
        uuid.bytes,
        packet.stream_class,
        packet.instance,
        packet.begin,
        packet.end,
        stream.pid,
        stream.tid,
        stream.vcpu,
        stream.comm.encode(errors="replace")[: COMM_SIZE - 1],
        (PACKET_HEADER + packet.records_size) * BITS,
        packet.size * BITS,
        packet.discarded,
        packet.number,
    )


def metadata(
    uuid: UUID,
    num_args: int,
    clock: Fit,
    source: str,
    environment: Mapping[str, str | int],
    tracer_events: Sequence[Definition] = (),
) -> str:
    """The text of the metadata file.

    ``source``: the description of the counter that counts the ticks. ``environment``: the facts of the run; the keys
    must be C identifiers. ``tracer_events``: the kinds of events that the tracer itself records. Each of these kinds
    has its own stream class, in this order.
    """
    classes = [_own_class(number, order, num_args) for number, order in enumerate(_ORDERS)]
    classes += [_shared_class(number, order, num_args) for number, order in enumerate(_ORDERS, FIRST_SHARED_CLASS)]
    classes += [_tracer_class(number, event) for number, event in enumerate(tracer_events, FIRST_TRACER_CLASS)]
    return "\n".join([_PREAMBLE.format(uuid=uuid), _environment(environment), _clock(clock, source), *classes])


_PREAMBLE = """\
/* CTF 1.8 */

typealias integer {{ size = 8; align = 8; signed = false; }} := u8;
typealias integer {{ size = 8; align = 8; signed = false; encoding = UTF8; }} := character;
typealias integer {{ size = 32; align = 32; signed = false; }} := u32;
typealias integer {{ size = 64; align = 64; signed = false; }} := u64;
/* An event's fields begin with a u32 in the middle of a word; a stricter alignment here would move them all. */
typealias integer {{ size = 64; align = 32; signed = false; base = 16; byte_order = le; }} := arg_le;
typealias integer {{ size = 64; align = 32; signed = false; base = 16; byte_order = be; }} := arg_be;
/* AUDIT_ARCH_*: whose numbers a system call's is. */
typealias integer {{ size = 32; align = 32; signed = false; base = 16; }} := audit_arch;

trace {{
	major = 1;
	minor = 8;
	uuid = "{uuid}";
	byte_order = le;
	packet.header := struct {{
		u32 magic;
		u8 uuid[16];
		u32 stream_id;
		u64 stream_instance_id;
	}};
}};
"""

_CLOCK = """\
clock {{
	name = "ticks";
	description = "{description}";
	freq = {frequency};
	precision = {precision};
	offset_s = {offset_seconds};
	offset = {offset_ticks};
	absolute = true;
}};

typealias integer {{ size = 64; align = 64; signed = false; map = clock.ticks.value; }} := ticks;

/* The last fields of a packet's context are so aligned that the first event begins at byte 256. */
typealias integer {{ size = 64; align = 1024; signed = false; map = clock.ticks.value; }} := ticks_at_128;
typealias integer {{ size = 64; align = 512; signed = false; }} := u64_at_192;
typealias integer {{ size = 64; align = 256; signed = false; }} := u64_at_224;
typealias integer {{ size = 64; align = 128; signed = false; }} := u64_at_240;
"""

_STREAM = """\
stream {{
	id = {number};
	packet.context := struct {{
		ticks_at_128 timestamp_begin;
		ticks timestamp_end;
		u32 pid;
		u32 tid;
		u32 vcpu;
		character comm[{comm_size}];
		u64_at_192 content_size;
		u64_at_224 packet_size;
		u64_at_240 events_discarded;
		u64 packet_seq_num;
	}};
	event.header := struct {{
		ticks timestamp;
	}};
	event.context := struct {{
{context}
	}};
}};

event {{
	name = "{name}";
	id = 0;
	stream_id = {number};
	fields := struct {{
{fields}
	}};
}};
"""


def _environment(environment: Mapping[str, str | int]) -> str:
    lines = [f"\t{key} = {_literal(value)};" for key, value in environment.items()]
    return "\n".join(["env {", *lines, "};", ""])


def _literal(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    # A raw line end would end the string in TSDL. Surrogates are not valid UTF-8; in Python, they stand for undecodable
    # bytes of file names.
    plain = (character if character.isprintable() else "?" for character in value)
    return '"' + "".join(_ESCAPES.get(given, shown) for given, shown in zip(value, plain, strict=True)) + '"'


def _clock(fit: Fit, source: str) -> str:
    return _CLOCK.format(
        description=f"{source}; fitted by a straight line, maximum error {fit.error_ns} ns",
        frequency=fit.frequency,
        precision=fit.error_ns * fit.frequency // 1_000_000_000,
        offset_seconds=fit.offset_seconds,
        offset_ticks=fit.offset_ticks,
    )


def _own_class(number: int, order: str, num_args: int) -> str:
    """The stream class of streams that belong to one thread."""
    return _class_of(number, HYPERTRACE, ["u32 site;"], _hypertrace_fields(order, num_args))


def _shared_class(number: int, order: str, num_args: int) -> str:
    """The stream class of streams of several threads (see `htrun.ctf.thread_streams`)."""
    return _class_of(number, HYPERTRACE, [*_THREAD_CONTEXT, "u32 site;"], _hypertrace_fields(order, num_args))


def _hypertrace_fields(order: str, num_args: int) -> Sequence[str]:
    index, *arguments = HYPERTRACE.field_names(num_args)
    return [f"u32 {index};", *(f"arg_{order} {argument};" for argument in arguments)]


def _tracer_class(number: int, definition: Definition) -> str:
    """The stream class of a kind of tracer event. There is one stream for all threads (see
    `htrun.ctf.tracer_streams`)."""
    context = [*_THREAD_CONTEXT, "audit_arch arch;"] if definition.fields else _THREAD_CONTEXT
    arguments = [f"arg_le {argument};" for argument in definition.argument_names(0)]
    if definition is USER_SYSCALL_TEXT:
        # The words after the first word are the bytes of a text. Readers show them better as characters.
        arguments[1:] = [f"character text[{TEXT_BYTES}];"]
    return _class_of(number, definition, context, [f"u64 {field};" for field in definition.fields] + arguments)


_THREAD_CONTEXT = [*(f"u32 {field};" for field in ("thread", "pid", "tid", "vcpu")), f"character comm[{COMM_SIZE}];"]


def _class_of(number: int, definition: Definition, context: Sequence[str], fields: Sequence[str]) -> str:
    return _STREAM.format(
        number=number,
        comm_size=COMM_SIZE,
        name=definition.name,
        context="\n".join(f"\t\t{field}" for field in context),
        fields="\n".join(f"\t\t{field}" for field in fields),
    )
