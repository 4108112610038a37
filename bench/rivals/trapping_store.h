/* * A store that always faults, like a guest's store to the control region: one slot of arguments in shared memory, *
one page without access, and one instruction of known length that stores an index to that page.
 */
#ifndef BENCH_TRAPPING_STORE_H
#define BENCH_TRAPPING_STORE_H

#include <stdint.h>
#include <sys/mman.h>

#include "../measure.h"
#include "../record.h"

#define PAGE 4096
#define STORE_LENGTH 2 /* bytes of `mov %eax,(%rdi)`: 89 07 */

static volatile uint64_t *slot;
static char *control;

static void trapping_store_open(void)
{
    slot = checked(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), "mmap");
    control = checked(mmap(NULL, PAGE, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0), "mmap");
}

static inline void trapping_store(uint64_t i)
{
    slot[0] = i;
    slot[1] = i + 1;
    slot[2] = i + 2;
    slot[3] = i + 3;
    __asm__ volatile(".byte 0x89, 0x07" ::"a"(0), "D"(control) : "memory");
}

#endif
