/*
 * Pairs of events with nothing between, by which the cost of an event is known.
 *
 * SPDX-License-Identifier: MIT
 */

#include "qemu-hypertrace.h"
#include "internal.h"

#include <stdlib.h>

/* More tell nothing new. */
#define MOST_PAIRS UINT64_C(1000000)

/* Rounds that a pause is made of, at most: a power of two. */
#define LONGEST_PAUSE 128

/*
 * A clock that counts in steps longer than an event would show the same step
 * for every pair of a steady loop. Pauses of unlike lengths keep the pairs
 * from falling into step with it.
 */
static uint32_t pause_before_pair(uint32_t state)
{
    uint32_t rounds;

    /* Marsaglia's xorshift: never 0. */
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    for (rounds = state & (LONGEST_PAUSE - 1); rounds > 0; rounds--) {
        __asm__ __volatile__("" ::: "memory");
    }
    return state;
}

void qemu_hypertrace_calibrate(uint64_t voffset, uint64_t pairs)
{
    volatile uint64_t *data = qemu_hypertrace_data(voffset);
    const uint64_t kept = data[0];
    uint32_t state = 1;

    if (pairs > MOST_PAIRS) {
        pairs = MOST_PAIRS;
    }
    while (pairs-- > 0) {
        state = pause_before_pair(state);
        data[0] = QEMU_HYPERTRACE_CALIBRATION_BEGIN;
        qemu_hypertrace(voffset);
        data[0] = QEMU_HYPERTRACE_CALIBRATION_END;
        qemu_hypertrace(voffset);
    }
    data[0] = kept;
}

void hypertrace_calibrate_if_asked(void)
{
    const char *wanted = getenv("HYPERTRACE_CALIBRATE");
    uint64_t index;

    if (wanted == NULL || *wanted == '\0') {
        return;
    }
    index = qemu_hypertrace_client();
    if (index != UINT64_MAX) {
        qemu_hypertrace_calibrate(index, strtoull(wanted, NULL, 10));
    }
}
