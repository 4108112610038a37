/*
 * FNV-1a: a chain of multiplications, some nanosecond a byte. The last result is the next call's seed, so that no call
 * begins before the last one has ended: what a processor gains by doing two side by side depends on what is around
 * them, and a loop and a pair of events are not the same around.
 */
#include "hash.h"

uint64_t hash(const unsigned char *data, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        seed = (seed ^ data[i]) * 0x100000001b3;
    return seed;
}
