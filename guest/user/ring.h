/*
 * The layout of the channel's rings, and the state of a thread that uses a ring.
 *
 * Record N of a ring is at position N % count, and its lap is
 * N / count % 0x7fffffff + 1. In the ring, numbers have 64 bits. A client uses
 * only the lower 32 bits, since a ring has far fewer than 2^32 records.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef QEMU_HYPERTRACE_RING_H
#define QEMU_HYPERTRACE_RING_H

#include "internal.h"

#include <limits.h>

/* If the processor has no suitable atomic operations, every event is a store. */
#if __GCC_ATOMIC_INT_LOCK_FREE == 2 && __GCC_ATOMIC_POINTER_LOCK_FREE == 2
#define HYPERTRACE_HAS_RINGS 1
#else
#define HYPERTRACE_HAS_RINGS 0
#endif

/* Whether a 64-bit store is a single instruction. */
#if UINTPTR_MAX > UINT32_MAX || defined(__x86_64__)
#define HYPERTRACE_WIDE 1
#else
#define HYPERTRACE_WIDE 0
#endif

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define HYPERTRACE_BIG_ENDIAN 1
#define HYPERTRACE_LE32(value) __builtin_bswap32(value)
#define HYPERTRACE_LE64(value) __builtin_bswap64(value)
#else
#define HYPERTRACE_BIG_ENDIAN 0
#define HYPERTRACE_LE32(value) (value)
#define HYPERTRACE_LE64(value) (value)
#endif

/*
 * A bit of a ring's flags: the client runs in a virtual machine, so htrun's host does not know the
 * client's ids and clock.
 */
#define HYPERTRACE_IN_MACHINE 2

/* The offset in the channel's header of the number that clients in virtual machines must answer. */
#define HYPERTRACE_EXCHANGE 0x74

#define HYPERTRACE_CONTROL_BLOCK 4096
#define HYPERTRACE_LAPS UINT32_C(0x7fffffff)
#define HYPERTRACE_BY_RING UINT32_C(0x80000000)

enum hypertrace_ring_state {
    HYPERTRACE_RING_FREE = 0,
    HYPERTRACE_RING_CLAIMED = 1,
    HYPERTRACE_RING_USED = 2,
    HYPERTRACE_RING_ENDED = 3
};

enum hypertrace_overflow {
    HYPERTRACE_BLOCK = 0,
    HYPERTRACE_DROP = 1,
    HYPERTRACE_OVERWRITE = 2
};

/* A 64-bit number in the channel. The lower half comes first, whatever the program's byte order is. */
union hypertrace_number {
    uint64_t all;
    uint32_t halves[2];
};

/* The control block of a ring. All numbers are little-endian. */
struct hypertrace_control_block {
    union hypertrace_number owner;      /* 0x00: pid << 32 | tid; 0: free */
    uint64_t cookie;                    /* 0x08: a random number for each program image */
    uint32_t state;                     /* 0x10: enum hypertrace_ring_state */
    uint32_t flags;                     /* 0x14: bit 0: big-endian; bit 1: in a machine; bits 8 to 15: clock */
    char name[16];                      /* 0x18 */
    uint64_t namespace_id;              /* 0x28: inode of the client's PID namespace; 0: unknown */
    uint64_t claim_time;                /* 0x30: CLOCK_MONOTONIC_RAW in ns; 0: unknown */
    char unused_1[8];
    union hypertrace_number reserved;   /* 0x40: the number of records that were ever reserved */
    union hypertrace_number dropped;    /* 0x48 */
    uint32_t bell;                      /* 0x50: 1: the client waits for room */
    char unused_2[4];
    uint32_t answered;                  /* 0x58: the number in the header to which `answer` belongs */
    char unused_3[4];
    union hypertrace_number answer;     /* 0x60: a reading of the virtual machine's clock */
    char unused_4[24];
    union hypertrace_number released;   /* 0x80: written by the reader: the number of records that it has read */
};

/*
 * The state of the thread that has claimed a ring. In a child of fork(), only the serial number is
 * reset, because a handler may have called fork() while an event was being written, and the child
 * then continues to write it.
 */
struct hypertrace_producer {
    /* The serial number of the claim, unique in this process. 0: not claimed, or claimed by an ancestor process. */
    uintptr_t *serial;
    struct hypertrace_control_block *control;
    unsigned char *records;
    const char *data;                   /* the channel's slots */
    uint32_t slot_stride;
    uint32_t max_clients;
    uint32_t count;                     /* the number of records in the ring */
    uint32_t limit;                     /* records below this number have room; an old value is too low */
    union {
        uint64_t both;                  /* base | lap << 32 */
        struct {
            uint32_t base;              /* the number of the lap's first record */
            uint32_t lap;
        } split;
    } lap;
    uint32_t first;                     /* the number of the first record after the claim */
    /*
     * The numbers of records that the reader has skipped because their events were interrupted. Bit
     * 32 is set in each; 0 is an unused entry.
     */
    uint64_t passed[4];
    uint32_t answered;                  /* the number that was answered last, in the byte order of the header */
    uint32_t answering;                 /* 1 while an answer is being written, perhaps by interrupted code */
} __attribute__((aligned(64)));

/* A thread's reference to its ring. */
struct hypertrace_mine {
    struct hypertrace_producer *producer;       /* NULL: no ring yet */
    uintptr_t serial;                           /* serial number of the claim; outdated if producer->serial differs */
    uintptr_t refused;                          /* the epoch in which no ring was free for this thread */
};

extern __thread struct hypertrace_mine hypertrace_mine HYPERTRACE_TLS_MODEL;

/* The properties that all rings of the channel share; they are constant while a channel is open. */
extern struct hypertrace_rings_in_use {
    uint32_t num_args;
    uint32_t overflow;                  /* enum hypertrace_overflow */
    uint32_t clock;                     /* enum hypertrace_clock */
    const uint32_t *exchange;           /* the number in the header to be answered; NULL: not in a virtual machine */
} hypertrace_rings_in_use __attribute__((visibility("hidden")));

static inline uint32_t hypertrace_limit(const struct hypertrace_control_block *control, uint32_t count)
{
    return HYPERTRACE_LE32(__atomic_load_n(&control->released.halves[0], __ATOMIC_ACQUIRE)) + count;
}

/*
 * ring.c: the calling thread's ring, which is claimed if the thread has none. NULL: the thread must
 * emit by stores. May be called in a signal handler.
 */
struct hypertrace_producer *hypertrace_claim(void);

/* emit.c: answers the number in the header with a reading of the virtual machine's clock. */
void hypertrace_answer(struct hypertrace_producer *producer);

/* emit.c: the type of the functions that write events to a ring. */
typedef void (*hypertrace_emit)(uint64_t voffset);
hypertrace_emit hypertrace_emit_function(void);

/* emit.c: sleeps for less than a second. May be called in a signal handler. */
void hypertrace_sleep(long nanoseconds) __attribute__((visibility("hidden")));

#endif /* QEMU_HYPERTRACE_RING_H */
