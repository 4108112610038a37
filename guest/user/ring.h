/*
 * Rings of the channel, and a thread's use of one.
 *
 * Record N of a ring is at position N % count, and its lap is
 * N / count % 0x7fffffff + 1. Numbers are 64 bits in the ring; a client needs
 * the lower 32 only, as a ring has far fewer records.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef QEMU_HYPERTRACE_RING_H
#define QEMU_HYPERTRACE_RING_H

#include "internal.h"

#include <limits.h>

/* If the processor has no atomic operations of its own, every event is a store. */
#if __GCC_ATOMIC_INT_LOCK_FREE == 2 && __GCC_ATOMIC_POINTER_LOCK_FREE == 2
#define HYPERTRACE_HAS_RINGS 1
#else
#define HYPERTRACE_HAS_RINGS 0
#endif

/* Whether a store of 64 bits is one instruction. */
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

/* A bit of a ring's flags: the ids and the clock are those of a machine, which htrun's host does not know. */
#define HYPERTRACE_IN_MACHINE 2

/* Offset in the channel's header of a number that clients in machines answer. */
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

/* A number of 64 bits in the channel, lower half first whatever the program's byte order is. */
union hypertrace_number {
    uint64_t all;
    uint32_t halves[2];
};

/* The control block of a ring: all little-endian. */
struct hypertrace_control_block {
    union hypertrace_number owner;      /* 0x00: pid << 32 | tid; 0: free */
    uint64_t cookie;                    /* 0x08: random number of this program image */
    uint32_t state;                     /* 0x10: enum hypertrace_ring_state */
    uint32_t flags;                     /* 0x14: bit 0: big-endian; bit 1: in a machine; bits 8 to 15: clock */
    char name[16];                      /* 0x18 */
    uint64_t namespace_id;              /* 0x28: inode of the client's PID namespace; 0: unknown */
    uint64_t claim_time;                /* 0x30: CLOCK_MONOTONIC_RAW in ns; 0: unknown */
    char unused_1[8];
    union hypertrace_number reserved;   /* 0x40: records of all owners so far */
    union hypertrace_number dropped;    /* 0x48 */
    uint32_t bell;                      /* 0x50: 1: the client waits for room */
    char unused_2[4];
    uint32_t answered;                  /* 0x58: the number of the header that `answer` answers */
    char unused_3[4];
    union hypertrace_number answer;     /* 0x60: a reading of the clock in a machine */
    char unused_4[24];
    union hypertrace_number released;   /* 0x80: written by the reader: number of records it has read */
};

/*
 * A ring, from the view of the thread that has claimed it. In a child of fork(), only the serial number is reset: a
 * handler may fork while an event is being written, and the writing then continues in the child too.
 */
struct hypertrace_producer {
    /* Serial number of the claim, unique in this process. 0: unclaimed, or claimed by an ancestor. */
    uintptr_t *serial;
    struct hypertrace_control_block *control;
    unsigned char *records;
    const char *data;                   /* the channel's slots */
    uint32_t slot_stride;
    uint32_t max_clients;
    uint32_t count;                     /* records of the ring */
    uint32_t limit;                     /* the first number without room; may be outdated, then it is too low */
    union {
        uint64_t both;                  /* base | lap << 32 */
        struct {
            uint32_t base;              /* the lap's first number */
            uint32_t lap;
        } split;
    } lap;
    uint32_t first;                     /* number of the claim's first record */
    /*
     * Numbers, with bit 32 set, of records that the reader has passed over because their events were interrupted; 0:
     * none.
     */
    uint64_t passed[4];
    uint32_t answered;                  /* the number of the header that was answered last, as it is in the header */
    uint32_t answering;                 /* 1: an answer is being written, perhaps by code that a handler interrupts */
} __attribute__((aligned(64)));

/* A thread's reference to its ring. */
struct hypertrace_mine {
    struct hypertrace_producer *producer;       /* NULL: none yet */
    uintptr_t serial;                           /* serial number of the claim; stale if the producer's differs */
    uintptr_t refused;                          /* the epoch in which there was no ring for this thread */
};

/*
 * With glibc, the TLS model is initial-exec, also in objects that are loaded by dlopen(): with
 * another model, a thread's first access may allocate memory, and it may be in
 * a signal handler. glibc reserves room for so few words. With musl, the memory
 * of all threads is ready when dlopen() returns.
 */
#ifdef __GLIBC__
#define HYPERTRACE_TLS_MODEL __attribute__((tls_model("initial-exec"), visibility("hidden")))
#else
#define HYPERTRACE_TLS_MODEL __attribute__((visibility("hidden")))
#endif

extern __thread struct hypertrace_mine hypertrace_mine HYPERTRACE_TLS_MODEL;

/* Properties of all rings of the channel; constant while a channel is open. */
extern struct hypertrace_rings_in_use {
    uint32_t num_args;
    uint32_t overflow;                  /* enum hypertrace_overflow */
    uint32_t clock;                     /* enum hypertrace_clock */
    const uint32_t *exchange;           /* the header's number for clients in machines; NULL: not in a machine */
} hypertrace_rings_in_use __attribute__((visibility("hidden")));

static inline uint32_t hypertrace_limit(const struct hypertrace_control_block *control, uint32_t count)
{
    return HYPERTRACE_LE32(__atomic_load_n(&control->released.halves[0], __ATOMIC_ACQUIRE)) + count;
}

/*
 * ring.c: the calling thread's ring, claimed if it has none; NULL: the thread
 * must store its events. May be used in a signal handler.
 */
struct hypertrace_producer *hypertrace_claim(void);

/* emit.c: report what the machine's clock shows to htrun, if there is a new number in the header. */
void hypertrace_answer(struct hypertrace_producer *producer);

/* emit.c: the function that emits by rings. */
typedef void (*hypertrace_emit)(uint64_t voffset);
hypertrace_emit hypertrace_emit_function(void);

/* emit.c: for less than a second. May be used in a signal handler. */
void hypertrace_sleep(long nanoseconds) __attribute__((visibility("hidden")));

#endif /* QEMU_HYPERTRACE_RING_H */
