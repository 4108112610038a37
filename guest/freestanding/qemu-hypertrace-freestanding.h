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
 * 1110. The caller finds the device, has it decode memory accesses and maps its
 * memory. Other devices of that kind have other magic numbers, which
 * qemu_hypertrace_attach() rejects. The library needs no C library, allocates
 * nothing, and has no state but what the caller passes.
 *
 * A ring is for one context at a time: each processor (or thread) has its own,
 * and so have interrupt handlers, unless the code that they interrupt emits with
 * interrupts disabled.
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
    /* Not a channel, or of another version. */
    QEMU_HYPERTRACE_NO_CHANNEL = 1,
    /* A channel without rings for this machine: htrun was started with --via store, or the machine is translated. */
    QEMU_HYPERTRACE_NO_RINGS = 2,
    /* The header contradicts itself. */
    QEMU_HYPERTRACE_BAD_HEADER = 3,
    /* All rings have owners. */
    QEMU_HYPERTRACE_NO_FREE_RING = 4
};

/* A channel. Its fields are not for the caller, except that `num_args` and `rings` may be read. */
struct qemu_hypertrace_channel {
    unsigned char *memory;
    uint32_t num_args;                  /* arguments of each event: 1 to 64 */
    uint32_t max_clients;               /* valid indexes are below this */
    uint64_t offset;                    /* of the first ring, in bytes */
    uint64_t stride;                    /* bytes from one ring to the next */
    uint32_t rings;                     /* number of rings */
    uint32_t records;                   /* records of a ring */
    uint32_t overflow;
    uint32_t clock;
};

/* A ring with an owner. Its fields are not for the caller. */
struct qemu_hypertrace_ring {
    const struct qemu_hypertrace_channel *channel;
    unsigned char *memory;
    uint32_t limit;                     /* the first number without room; may be outdated, then it is too low */
    uint32_t base;                      /* the current lap's first number */
    uint32_t lap;
    uint32_t answered;                  /* the header's number that was answered last */
};

/*
 * Prepare @channel.
 *
 * @memory: the device's memory; @size: bytes of it, as the BAR has them.
 */
enum qemu_hypertrace_result qemu_hypertrace_attach(struct qemu_hypertrace_channel *channel, void *memory,
                                                   uint64_t size);

/*
 * Claim a free ring of @channel, which must stay where it is.
 *
 * @cpu: number of the processor, from 0; the trace has it as the event's cpu.
 * @name: name in the trace; at most 15 bytes are kept.
 */
enum qemu_hypertrace_result qemu_hypertrace_claim(const struct qemu_hypertrace_channel *channel,
                                                  struct qemu_hypertrace_ring *ring, uint32_t cpu, const char *name);

/*
 * Emit the event of @index with the first @count words of @args; further
 * arguments are 0, and words beyond the channel's number of arguments are left
 * out. If the ring is full, it waits, or the event is lost, as htrun's option
 * --overflow says. An @index out of range counts as 0.
 */
void qemu_hypertrace_emit(struct qemu_hypertrace_ring *ring, uint32_t index, const uint64_t *args, uint32_t count);

/* Free the ring: nothing may emit to it any more. */
void qemu_hypertrace_release(struct qemu_hypertrace_ring *ring);

#ifdef __cplusplus
}
#endif

#endif /* QEMU_HYPERTRACE_FREESTANDING_H */
