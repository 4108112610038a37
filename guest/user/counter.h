/*
 * Reads the processor's counter in native programs, and finds out whether a program is native.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef QEMU_HYPERTRACE_COUNTER_H
#define QEMU_HYPERTRACE_COUNTER_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#if defined(__i386__) || defined(__x86_64__)
#include <cpuid.h>
#endif

/* The clocks of time stamps, with their numbers in the flags of a ring. */
enum hypertrace_clock {
    HYPERTRACE_CLOCK_TSC = 0,
    HYPERTRACE_CLOCK_MONOTONIC_RAW = 1,         /* ns */
    HYPERTRACE_CLOCK_CNTVCT = 2,
    HYPERTRACE_CLOCK_RDTIME = 3,
    HYPERTRACE_CLOCK_MFTB = 4,
    HYPERTRACE_CLOCK_STCKF = 5
};

/*
 * HYPERTRACE_HOST_MACHINE: the ELF machine of a host that runs this program
 * natively, or 0 if htrun does not know that machine's counter.
 * HYPERTRACE_COUNTER: the clock that hypertrace_read_counter() reads.
 */
#if defined(__i386__) || defined(__x86_64__)
#define HYPERTRACE_HOST_MACHINE 62
#define HYPERTRACE_COUNTER HYPERTRACE_CLOCK_TSC
#elif defined(__aarch64__)
#define HYPERTRACE_HOST_MACHINE 183
#define HYPERTRACE_COUNTER HYPERTRACE_CLOCK_CNTVCT
#elif defined(__riscv) && __riscv_xlen == 64
#define HYPERTRACE_HOST_MACHINE 243
#define HYPERTRACE_COUNTER HYPERTRACE_CLOCK_RDTIME
#elif defined(__powerpc64__)
#define HYPERTRACE_HOST_MACHINE 21
#define HYPERTRACE_COUNTER HYPERTRACE_CLOCK_MFTB
#elif defined(__s390x__)
#define HYPERTRACE_HOST_MACHINE 22
#define HYPERTRACE_COUNTER HYPERTRACE_CLOCK_STCKF
#else
#define HYPERTRACE_HOST_MACHINE 0
#define HYPERTRACE_COUNTER HYPERTRACE_CLOCK_MONOTONIC_RAW
#endif

/* CLOCK_MONOTONIC_RAW in ns. May be called in a signal handler. */
static inline uint64_t hypertrace_read_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* The counter that HYPERTRACE_COUNTER names. The compiler does not move the read past other accesses to memory. */
static inline uint64_t hypertrace_read_counter(void)
{
#if defined(__i386__) || defined(__x86_64__)
    uint32_t low;
    uint32_t high;

    __asm__ __volatile__("rdtsc" : "=a" (low), "=d" (high) : : "memory");
    return (uint64_t)high << 32 | low;
#elif defined(__aarch64__)
    uint64_t count;

    __asm__ __volatile__("mrs %0, cntvct_el0" : "=r" (count) : : "memory");
    return count;
#elif defined(__riscv) && __riscv_xlen == 64
    uint64_t count;

    __asm__ __volatile__("rdtime %0" : "=r" (count) : : "memory");
    return count;
#elif defined(__powerpc64__)
    uint64_t count;

    __asm__ __volatile__("mfspr %0, 268" : "=r" (count) : : "memory");
    return count;
#elif defined(__s390x__)
    uint64_t count;

    /* The instruction stckf as bytes, since assemblers accept its name only if they assemble for z9 or later. */
    __asm__ __volatile__(".insn s,0xb27c0000,%0" : "=Q" (count) : : "memory", "cc");
    return count;
#else
    return hypertrace_read_clock();
#endif
}

/* Makes sure that later readings of the counter happen after earlier loads. */
static inline void hypertrace_finish_loads(void)
{
#if defined(__x86_64__) || defined(__SSE2__)
    __asm__ __volatile__("lfence" : : : "memory");
#elif defined(__i386__)
    unsigned eax, ebx, ecx, edx;

    __cpuid(0, eax, ebx, ecx, edx);
#elif defined(__aarch64__)
    __asm__ __volatile__("dsb ld; isb" : : : "memory");
#elif defined(__powerpc64__)
    __asm__ __volatile__("sync; isync" : : : "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/*
 * Whether the processor runs this program itself, given the ELF machine of the
 * host. On x86, QEMU's translator identifies itself by CPUID. On other
 * machines, a program for the host's architecture counts as native.
 */
static inline bool hypertrace_is_native(uint32_t host_machine)
{
#if defined(__i386__) || defined(__x86_64__)
    unsigned eax, ebx, ecx, edx;
    char vendor[12];

    if (host_machine == HYPERTRACE_HOST_MACHINE && __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx >> 31 & 1) != 0) {
        __cpuid(0x40000000, eax, ebx, ecx, edx);
        memcpy(vendor, &ebx, 4);
        memcpy(vendor + 4, &ecx, 4);
        memcpy(vendor + 8, &edx, 4);
        return memcmp(vendor, "TCGTCGTCGTCG", sizeof vendor) != 0;
    }
#endif
    return host_machine != 0 && host_machine == HYPERTRACE_HOST_MACHINE;
}

#endif /* QEMU_HYPERTRACE_COUNTER_H */
