/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The channel's rings: their description in the header, and a processor's use of one. */
#ifndef QEMU_HYPERTRACE_RING_H
#define QEMU_HYPERTRACE_RING_H

#include <linux/types.h>

/* The rings' part of the channel's header, after its first 64 bytes. */
struct hypertrace_ring_header {
	__le32 mode;
	__le32 machine;		/* ELF machine of the host */
	__le64 offset;
	__le64 stride;
	__le32 count;
	__le32 records;
	__le32 chunk;
	__le32 overflow;
	__le64 file_size;
};

/* The facts about the channel that a processor needs to write records. */
struct hypertrace_ring_channel {
	phys_addr_t address;	/* of the channel's start */
	u64 bar_size;
	u64 total_size;		/* bytes before the rings */
	const void *data;
	const u32 *exchange;	/* the number in the header that is answered with this machine's clock */
	u32 slot_stride;
	u32 max_clients;
	u32 num_args;
};

/**
 * hypertrace_rings_size() - bytes of the channel that programs may map
 * @header: the rings' part of the header
 * @channel: the channel
 *
 * Return: the size with the rings; without them if their description is not sane.
 */
u64 hypertrace_rings_size(const struct hypertrace_ring_header *header,
			  const struct hypertrace_ring_channel *channel);

/**
 * hypertrace_rings_start() - give each possible processor a ring, if they are for this machine
 * @header: the rings' part of the header
 * @channel: the channel
 *
 * Return: whether events are written to rings from now on.
 */
bool hypertrace_rings_start(const struct hypertrace_ring_header *header,
			    const struct hypertrace_ring_channel *channel);

/* Free the rings; events are stores again. */
void hypertrace_rings_stop(void);

#endif /* QEMU_HYPERTRACE_RING_H */
