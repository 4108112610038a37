// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Sends a byte string (a blob) through the channel, as the arguments of several events.
 *
 * The words of a blob are a head, the time, and the bytes in memory order, padded with zeros to a
 * whole number of events. The head is
 *
 *	63..32	magic; its bytes are not valid text in any encoding
 *	31	the bytes are those of a big-endian machine
 *	30..24	the kind
 *	23..0	the number of bytes
 */

#include <linux/bits.h>
#include <linux/minmax.h>
#include <linux/qemu-hypertrace.h>
#include <linux/string.h>

#include "internal.h"

#define BLOB_MAGIC	0xb10b7aceULL
#define BLOB_BIG_ENDIAN	BIT_ULL(31)
#define BLOB_MOST_BYTES	0xffffffUL

/* Fills the slot of an index with words, and emits an event whenever the slot is full. */
struct writer {
	u64 voffset;
	u64 *slot;
	u64 num_args;
	u64 filled;
};

static void put_word(struct writer *writer, u64 word)
{
	writer->slot[writer->filled++] = word;
	if (writer->filled == writer->num_args) {
		qemu_hypertrace(writer->voffset);
		writer->filled = 0;
	}
}

static void put_bytes(struct writer *writer, const void *data, size_t size)
{
	u64 word;

	for (; size >= sizeof(word); data += sizeof(word), size -= sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		put_word(writer, word);
	}
	if (size) {
		word = 0;
		memcpy(&word, data, size);
		put_word(writer, word);
	}
}

void hypertrace_blob(u64 voffset, enum hypertrace_blob_kind kind, u64 time, const void *data,
		     size_t size)
{
	struct writer writer = {
		.voffset = voffset,
		.slot = qemu_hypertrace_data(voffset),
		.num_args = qemu_hypertrace_num_args(),
	};
	u64 head;

	if (!writer.num_args)
		return;
	size = min_t(size_t, size, BLOB_MOST_BYTES);
	head = BLOB_MAGIC << 32 | (u64)kind << 24 | size;
#ifdef __BIG_ENDIAN
	head |= BLOB_BIG_ENDIAN;
#endif
	put_word(&writer, head);
	put_word(&writer, time);
	put_bytes(&writer, data, size);
	while (writer.filled)
		put_word(&writer, 0);
}
