/*
 * Pairs of events that measure the cost of an event.
 *
 * The cost depends on the code around the event. A pair with nothing between
 * its two events shows the full cost. After work that keeps the processor
 * waiting, part of the event is executed while that work still goes on; how
 * much depends on the work and on the processor. So there are pairs with
 * nothing between, and for each of some kinds of work pairs with some of it and
 * pairs with twice as much: twice the duration of the former, less that of the
 * latter, is the cost after such work.
 *
 * SPDX-License-Identifier: MIT
 */

#include "qemu-hypertrace.h"
#include "internal.h"

#include <limits.h>
#include <stdlib.h>

/* More pairs do not improve the result. */
#define MOST_PAIRS UINT64_C(1000000)

/* The maximum of rounds in a pause: a power of two. */
#define LONGEST_PAUSE 128

/*
 * If one step of the clock is longer than an event, all pairs of a steady loop
 * could have the same number of steps between them. Pauses of different lengths
 * keep the loop from running in step with the clock.
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

/* One step of a chain: a multiplication, which takes three cycles on x86-64. */
#define STEP_(word) do { (word) *= (word); __asm__ __volatile__("" : "+r" (word)); } while (0)
#define STEPS_4_(word) do { STEP_(word); STEP_(word); STEP_(word); STEP_(word); } while (0)
#define STEPS_16_(word) do { STEPS_4_(word); STEPS_4_(word); STEPS_4_(word); STEPS_4_(word); } while (0)
/* There is no loop, because a mispredicted end of a loop costs more than an event. */
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

/* Divisions, each of which needs the result of the one before. */
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

/* Cache lines, more than the first-level cache holds; the address of each read depends on the value read before. */
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
    /* Pages that were never written may all be the same page of zeros. */
    for (size_t i = 0; i < LINES; i++) {
        lines[i * LINE_WORDS] = 0;
    }
}

struct progress {
    volatile uint64_t *data;
    uint64_t voffset;
    uint32_t state;             /* state of the random numbers */
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
 * The other kinds share their call sites, because the first event of each site traps. Many pairs of one kind follow
 * each other, so that the processor predicts the switch.
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
