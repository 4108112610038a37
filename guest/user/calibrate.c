/*
 * Pairs of events by which the cost of an event is known.
 *
 * That depends on what is around it. Between two events with nothing between,
 * all of it is in the open. Behind work that keeps the processor waiting, as
 * arithmetic in which each step needs the one before, part of it is done while
 * that work still goes on. So there are pairs with nothing between, with some
 * such work and with twice as much: two times the second less the third is
 * what is left of the cost behind work.
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

/* One step of work: on x86-64 a multiplication, which takes three cycles. */
#define STEP_(word) do { (word) *= (word); __asm__ __volatile__("" : "+r" (word)); } while (0)
#define STEPS_4_(word) do { STEP_(word); STEP_(word); STEP_(word); STEP_(word); } while (0)
#define STEPS_16_(word) do { STEPS_4_(word); STEPS_4_(word); STEPS_4_(word); STEPS_4_(word); } while (0)
/* Straight on: the end of a loop would be guessed wrong, which costs more than an event. */
#define WORK_(word) do { STEPS_16_(word); STEPS_16_(word); STEPS_16_(word); STEPS_16_(word); } while (0)

#define PAIR_(sort, work) do { \
        state = pause_before_pair(state); \
        data[0] = QEMU_HYPERTRACE_CALIBRATION_BEGIN + 2 * (sort); \
        qemu_hypertrace(voffset); \
        work; \
        data[0] = QEMU_HYPERTRACE_CALIBRATION_END + 2 * (sort); \
        qemu_hypertrace(voffset); \
    } while (0)

void qemu_hypertrace_calibrate(uint64_t voffset, uint64_t pairs)
{
    volatile uint64_t *data = qemu_hypertrace_data(voffset);
    const uint64_t kept = data[0];
    uint32_t state = 1;
    unsigned long word = 3;

    if (pairs > MOST_PAIRS) {
        pairs = MOST_PAIRS;
    }
    while (pairs-- > 0) {
        PAIR_(0, (void)0);
        PAIR_(1, WORK_(word));
        PAIR_(2, WORK_(word); WORK_(word));
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
