/*
 * A loop of independent additions. Neither memory nor system calls slow it, but another user of the core's arithmetic
 * units does: in a virtual machine, this may be another virtual machine on the sibling hyper-thread, which cannot be
 * detected in another way. It is in C, so that an emulated program probes in the same way. An iteration has many
 * additions, so that the emulator's work for each block of code, which depends on the block's address, takes little
 * time compared with them.
 *
 * It includes no other header, so that programs and kernel modules can use it.
 */
#ifndef BENCH_PROBE_H
#define BENCH_PROBE_H

#define PROBE_TURNS 5000 /* about 25 microseconds natively, which is less than a burst */

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
