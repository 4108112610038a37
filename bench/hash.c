/*
 * FNV-1a: a chain of multiplications, about one nanosecond per byte. The result of a call is the seed of the next call,
 * so that the processor cannot overlap two calls. Otherwise the time of a call would depend on the code around it,
 * which differs between a loop and a pair of events.
 */
#include "hash.h"

uint64_t hash(const unsigned char *data, size_t size, uint64_t seed)
{
    for (size_t i = 0; i < size; i++)
        seed = (seed ^ data[i]) * 0x100000001b3;
    return seed;
}
