/*
 * A loop of independent additions, which no memory and no system call slows, but whoever shares the core's arithmetic
 * units: on a virtual machine that is a neighbour on the sibling hyper-thread, whom nothing else shows. C, so that an
 * emulated program probes in the same way; so many additions a turn that what an emulator does around a block of code,
 * which depends on where it lies, is little beside them.
 *
 * For programs and for kernel modules: nothing is included.
 */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#define PROBE_TURNS 5000 /* some 25 microseconds natively, so less than a burst */

static inline void probe_turns(void)
{
    unsigned long long a = 1, b = 2, c = 3, d = 4;
    int turn;
#define PROBE_ADD(word) (word) += 3; __asm__ volatile("" : "+r"(word));
#define PROBE_ADD_EACH PROBE_ADD(a) PROBE_ADD(b) PROBE_ADD(c) PROBE_ADD(d)
#define PROBE_ADD_FOURFOLD PROBE_ADD_EACH PROBE_ADD_EACH PROBE_ADD_EACH PROBE_ADD_EACH
    for (turn = 0; turn < PROBE_TURNS; turn++) {
        PROBE_ADD_FOURFOLD PROBE_ADD_FOURFOLD PROBE_ADD_FOURFOLD PROBE_ADD_FOURFOLD
    }
#undef PROBE_ADD_FOURFOLD
#undef PROBE_ADD_EACH
#undef PROBE_ADD
}

#endif
