/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/* The channel's rings: their description in the header, and the functions that processors use to write to them. */
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
	phys_addr_t address;	/* the physical address of the channel's start */
	u64 bar_size;
	u64 total_size;		/* the number of bytes before the rings */
	const void *data;
	const u32 *exchange;	/* the number in the header that must be answered with a reading of the clock */
	u32 slot_stride;
	u32 max_clients;
	u32 num_args;
};

/**
 * hypertrace_rings_size() - get the number of bytes of the channel that programs may map
 * @header: the rings' part of the header
 * @channel: the channel
 *
 * Return: the size including the rings; without the rings if their description is invalid.
 */
u64 hypertrace_rings_size(const struct hypertrace_ring_header *header,
			  const struct hypertrace_ring_channel *channel);

/**
 * hypertrace_rings_start() - give each possible processor a ring, if this machine may use the rings
 * @header: the rings' part of the header
 * @channel: the channel
 *
 * Return: whether events are written to rings from now on.
 */
bool hypertrace_rings_start(const struct hypertrace_ring_header *header,
			    const struct hypertrace_ring_channel *channel);

/* Free the rings. Events are emitted by stores again. */
void hypertrace_rings_stop(void);

#endif /* QEMU_HYPERTRACE_RING_H */
