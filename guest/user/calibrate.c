/*
 * Emits pairs of events, with which htrun measures the cost of an event.
 *
 * The cost depends on the code around the event. A pair with no work between its two events shows
 * the full cost. If an event follows work that keeps the processor waiting, the processor executes
 * a part of the event while it still waits. The size of this part depends on the work and on the
 * processor. So there are pairs without work, and, for each of several kinds of work, pairs with
 * some work and pairs with twice as much work. Twice the duration with some work, minus the
 * duration with twice the work, is the cost of an event after this work.
 *
 * SPDX-License-Identifier: MIT
 */

#include "qemu-hypertrace.h"
#include "internal.h"

#include <limits.h>
#include <stdlib.h>

/* More pairs do not improve the result. */
#define MOST_PAIRS UINT64_C(1000000)

/* The maximum number of rounds in a pause: a power of two. */
#define LONGEST_PAUSE 128

/*
 * Waits for a random number of rounds before a pair. If one step of the clock takes longer than an
 * event, a loop without pauses could run in step with the clock, so that all pairs would show the
 * same number of steps.
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

/* One step of a chain of multiplications, each of which takes three cycles on x86-64. */
#define STEP_(word) do { (word) *= (word); __asm__ __volatile__("" : "+r" (word)); } while (0)
#define STEPS_4_(word) do { STEP_(word); STEP_(word); STEP_(word); STEP_(word); } while (0)
#define STEPS_16_(word) do { STEPS_4_(word); STEPS_4_(word); STEPS_4_(word); STEPS_4_(word); } while (0)
/* The chain is unrolled, because a mispredicted end of a loop would cost more than an event. */
#define CHAIN_(word) do { STEPS_16_(word); STEPS_16_(word); } while (0)

/* The same work as CHAIN_, in a loop. */
static inline unsigned long loop(unsigned long word, unsigned turns)
{
    for (; turns > 0; turns--) {
        STEPS_4_(word);
        STEPS_4_(word);
        __asm__ __volatile__("" : "+r" (turns));
    }
    return word;
}

/* Divisions, each of which needs the result of the previous division. */
static inline unsigned long divide(unsigned long word, unsigned turns)
{
    for (; turns > 0; turns--) {
        word = ULONG_MAX / ((word & 0xff) + 3);
        __asm__ __volatile__("" : "+r" (word), "+r" (turns));
    }
    return word;
}

/*
 * Branches that the processor cannot predict, because @bits are random. They are not in a loop, since after such
 * branches the processor would not predict the end of the loop either.
 */
#define BRANCH_(word, bit) do { if (bit) { STEP_(word); } else { __asm__ __volatile__("" : "+r" (word)); } } while (0)
#define BRANCHES_4_(word, bits) do { \
        BRANCH_(word, (bits) & 1); BRANCH_(word, (bits) & 2); BRANCH_(word, (bits) & 4); BRANCH_(word, (bits) & 8); \
    } while (0)
#define BRANCHES_8_(word, bits) do { BRANCHES_4_(word, bits); BRANCHES_4_(word, (bits) >> 4); } while (0)

/*
 * The number of cache lines that the reads use. It is larger than the first-level cache. The address of each read
 * depends on the value of the previous read.
 */
#define LINES 1024
#define LINE_WORDS 16

static volatile uint32_t lines[LINES * LINE_WORDS];

static inline uint32_t follow_lines(uint32_t line, unsigned turns)
{
    for (; turns > 0; turns--) {
        line = (line * 5 + 1 + lines[line * LINE_WORDS]) % LINES;
    }
    return line;
}

static void write_lines(void)
{
    /* Write to all pages, because pages that were never written may share one page of zeros. */
    for (size_t i = 0; i < LINES; i++) {
        lines[i * LINE_WORDS] = 0;
    }
}

struct progress {
    volatile uint64_t *data;
    uint64_t voffset;
    uint32_t state;             /* the state of the random number generator */
    uint32_t line;
    unsigned long word;
};

#define PAIR_(at, kind, work) do { \
        (at)->state = pause_before_pair((at)->state); \
        (at)->data[0] = QEMU_HYPERTRACE_CALIBRATION_BEGIN + 2 * (uint64_t)(kind); \
        qemu_hypertrace((at)->voffset); \
        work; \
        (at)->data[0] = QEMU_HYPERTRACE_CALIBRATION_END + 2 * (uint64_t)(kind); \
        qemu_hypertrace((at)->voffset); \
    } while (0)

/* Each kind of pair is inlined separately, so that only the work is between the two events. */
static void calibrate_chain(struct progress *at)
{
    unsigned long word = at->word;

    PAIR_(at, 0, (void)0);
    PAIR_(at, 1, CHAIN_(word));
    PAIR_(at, 2, CHAIN_(word); CHAIN_(word));
}

/*
 * The kinds of work that are not inlined share their call sites, because the first event of each
 * site traps. This number of pairs of one kind are emitted in a row, so that the processor predicts
 * the switch between the kinds.
 */
#define ROW 10

static void work(struct progress *at, unsigned kind)
{
    switch (kind) {
    case 3: at->word = loop(at->word, 8); break;
    case 4: at->word = loop(at->word, 16); break;
    case 5: at->word = divide(at->word, 8); break;
    case 6: at->word = divide(at->word, 16); break;
    case 7: BRANCHES_8_(at->word, at->state >> 8); break;
    case 8: BRANCHES_8_(at->word, at->state >> 8); BRANCHES_8_(at->word, at->state >> 16); break;
    case 9: at->line = follow_lines(at->line, 8); break;
    default: at->line = follow_lines(at->line, 16); break;
    }
}

static void calibrate_row(struct progress *at, unsigned kind, uint64_t count)
{
    while (count-- > 0) {
        PAIR_(at, kind, work(at, kind));
    }
}

/* The random numbers continue in the next call, because the processor would learn a repeated sequence. */
static uint32_t random_state = 1;

#define FIRST_KIND_OF_ROWS 3
#define KINDS 11

void qemu_hypertrace_calibrate(uint64_t voffset, uint64_t pairs)
{
    struct progress at = {.data = qemu_hypertrace_data(voffset), .voffset = voffset, .word = 3};
    const uint64_t kept = at.data[0];

    if (pairs > MOST_PAIRS) {
        pairs = MOST_PAIRS;
    }
    if (pairs > 0) {
        write_lines();
    }
    at.state = __atomic_load_n(&random_state, __ATOMIC_RELAXED);
    while (pairs > 0) {
        uint64_t row = pairs < ROW ? pairs : ROW;

        for (uint64_t i = 0; i < row; i++) {
            calibrate_chain(&at);
        }
        for (unsigned kind = FIRST_KIND_OF_ROWS; kind < KINDS; kind++) {
            calibrate_row(&at, kind, row);
        }
        pairs -= row;
    }
    __atomic_store_n(&random_state, at.state, __ATOMIC_RELAXED);
    at.data[0] = kept;
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
