/* The function that Google Benchmark and htrun's spans both time: compiled once, and linked to both. */
#ifndef BENCH_HASH_H
#define BENCH_HASH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C"
#endif
uint64_t hash(const unsigned char *data, size_t size, uint64_t seed);

#endif
