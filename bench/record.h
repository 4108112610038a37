/*
 * The record of an event for the rivals that write records themselves: a time stamp, an index and four arguments, 48
 * bytes in a ring that wraps, as in htrun's own rings.
 */
#ifndef BENCH_RECORD_H
#define BENCH_RECORD_H

#include <stdint.h>

#define NUM_ARGS 4
#define RING_RECORDS ((4 << 20) / sizeof(struct record)) /* 4 MiB, as htrun's rings are by default */

struct record {
    uint64_t timestamp;
    uint64_t index;
    uint64_t args[NUM_ARGS];
};

struct ring {
    uint64_t next; /* record: 0 to RING_RECORDS - 1 */
    struct record records[RING_RECORDS];
};

static inline uint64_t next_record(uint64_t record)
{
    return record + 1 == RING_RECORDS ? 0 : record + 1;
}

#endif
