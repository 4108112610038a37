/*
 * Emit events through the rings of a hypertrace channel, from code without an
 * operating system: a kernel, firmware, a bare-metal test.
 *
 *     static struct qemu_hypertrace_channel channel;
 *     static struct qemu_hypertrace_ring ring;
 *     uint64_t args[] = {0xcafe};
 *
 *     qemu_hypertrace_attach(&channel, bar, bar_size);
 *     qemu_hypertrace_claim(&channel, &ring, 0, "cpu0");
 *     qemu_hypertrace_emit(&ring, 0, args, 1);
 *
 * The channel is the memory (BAR 2) of a PCI device with vendor 1af4 and device
 * 1110. The caller must find the device, enable its memory accesses, and map its
 * memory. qemu_hypertrace_attach() rejects other devices of this kind, because they
 * have another magic number. The library needs no C library, allocates no memory, and
 * has no state except the structures that the caller passes.
 *
 * Only one context at a time may use a ring. So each processor (or thread) needs its own ring.
 * Interrupt handlers also need their own rings, unless the code that they interrupt disables
 * interrupts while it emits.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef QEMU_HYPERTRACE_FREESTANDING_H
#define QEMU_HYPERTRACE_FREESTANDING_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum qemu_hypertrace_result {
    QEMU_HYPERTRACE_OK = 0,
    /* The memory is not a channel, or is a channel of another version. */
    QEMU_HYPERTRACE_NO_CHANNEL = 1,
    /*
     * The channel has no rings for this machine: htrun was started with --via store, or QEMU
     * translates the machine's code.
     */
    QEMU_HYPERTRACE_NO_RINGS = 2,
    /* The header contradicts itself. */
    QEMU_HYPERTRACE_BAD_HEADER = 3,
    /* All rings have owners. */
    QEMU_HYPERTRACE_NO_FREE_RING = 4
};

/* A channel. The caller may read `num_args` and `rings`; the other fields are private. */
struct qemu_hypertrace_channel {
    unsigned char *memory;
    uint32_t num_args;                  /* arguments of each event: 1 to 64 */
    uint32_t max_clients;               /* all valid indexes are less than this */
    uint64_t offset;                    /* the offset of the first ring, in bytes */
    uint64_t stride;                    /* bytes from one ring to the next */
    uint32_t rings;                     /* number of rings */
    uint32_t records;                   /* the number of records in a ring */
    uint32_t overflow;
    uint32_t clock;
};

/* A ring that the caller owns. Its fields are private. */
struct qemu_hypertrace_ring {
    const struct qemu_hypertrace_channel *channel;
    unsigned char *memory;
    uint32_t limit;                     /* records below this number have room; an old value is too low */
    uint32_t base;                      /* the number of the current lap's first record */
    uint32_t lap;
    uint32_t answered;                  /* the number from the header that was answered last */
};

/*
 * Prepare @channel.
 *
 * @memory: the device's memory; @size: the size of the BAR in bytes.
 */
enum qemu_hypertrace_result qemu_hypertrace_attach(struct qemu_hypertrace_channel *channel, void *memory,
                                                   uint64_t size);

/*
 * Claim a free ring of @channel. The structure @channel must not be moved while the ring is in use.
 *
 * @cpu: the number of the processor, from 0, which the trace contains as the event's cpu.
 * @name: the name in the trace; at most 15 bytes are kept.
 */
enum qemu_hypertrace_result qemu_hypertrace_claim(const struct qemu_hypertrace_channel *channel,
                                                  struct qemu_hypertrace_ring *ring, uint32_t cpu, const char *name);

/*
 * Emit the event of @index with the first @count words of @args. If the channel has more arguments,
 * these are 0; if it has fewer, the remaining words are ignored. If the ring is full, the function
 * waits, or the event is lost, depending on htrun's option --overflow. An @index out of range
 * counts as 0.
 */
void qemu_hypertrace_emit(struct qemu_hypertrace_ring *ring, uint32_t index, const uint64_t *args, uint32_t count);

/* Free the ring. No code may emit to it afterwards. */
void qemu_hypertrace_release(struct qemu_hypertrace_ring *ring);

#ifdef __cplusplus
}
#endif

#endif /* QEMU_HYPERTRACE_FREESTANDING_H */
