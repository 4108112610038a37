/*
 * Emit events through a hypertrace channel.
 *
 *     uint64_t *data;
 *     qemu_hypertrace_init(NULL);
 *     data = qemu_hypertrace_data(0);
 *     data[0] = 0xcafe;
 *     qemu_hypertrace(0);
 *
 * An event is the arguments in a slot of the channel, and then one store of
 * the slot's index, which the tracer outside sees. If the channel has rings for
 * this program, the library writes the record itself, and no store needs to be
 * seen. Without a channel, and after qemu_hypertrace_init() has failed, all
 * functions may still be called, and no event is recorded. So an instrumented
 * program runs anywhere.
 *
 * Link with libqemu-hypertrace-guest.a (before glibc 2.34 also -pthread).
 *
 * Threads: every function may be called from any thread at any time, apart from the two rules given at
 * qemu_hypertrace_fini() and qemu_hypertrace_data(). Signal handlers: qemu_hypertrace(), qemu_hypertrace_data(),
 * qemu_hypertrace_num_args() and qemu_hypertrace_max_clients() may be used in them; the other functions may not. fork:
 * a child uses the channel of its parent without further calls. vfork: a child may emit; the events may be its
 * parent's. exec: the new program must call qemu_hypertrace_init() itself.
 * seccomp: with rings, the first event of a thread, or its first
 * qemu_hypertrace_client() if that is earlier, makes system calls
 * (rt_sigprocmask, getpid, gettid, prctl; fstat, mmap, madvise), so a thread
 * that restricts its system calls must first make one of these two calls. The
 * thread that opens the channel does not need to.
 *
 * SPDX-License-Identifier: MIT
 */

#ifndef QEMU_HYPERTRACE_H
#define QEMU_HYPERTRACE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Open the channel.
 *
 * @base: path of the channel, the same as given to htrun. NULL stands for the
 * PCI device of the machine (system mode) or, if it has none, the path in the
 * environment variable HYPERTRACE, which htrun sets.
 *
 * Idempotent: with the channel open already, it returns 0 and does nothing;
 * a single qemu_hypertrace_fini() closes it, even after several
 * initialisations.
 *
 * Returns 0, or -1 with errno
 *   ENOENT     there is no channel: no such file; or NULL and neither a
 *              device nor the variable
 *   EACCES     the file or the device may not be opened for reading and writing
 *   EBUSY      another channel than @base is open
 *   EPROTO     @base is not a hypertrace channel (no header, another magic)
 *   ENOTSUP    the channel is of another version than this library
 *   EINVAL     the header contradicts itself or the size of the file; or
 *              @base is neither a file nor a character device
 *   EOVERFLOW  the channel is larger than the address space
 * or what open(2), fstat(2), mmap(2) or malloc(3) failed with (EISDIR, EMFILE,
 * ENOMEM, ...).
 */
int qemu_hypertrace_init(const char *base);

/*
 * Close the channel. Later calls record nothing; qemu_hypertrace_init() opens
 * it again. Without a channel it does nothing.
 *
 * When it is called, no other thread may use a pointer from
 * qemu_hypertrace_data(), or be in qemu_hypertrace(), because the memory is
 * unmapped.
 *
 * Returns 0, or -1 with the errno of munmap(2).
 */
int qemu_hypertrace_fini(void);

/*
 * Arguments of each event, in 64-bit words: 1 to 64. Without a channel, 4,
 * which is htrun's default.
 */
uint64_t qemu_hypertrace_num_args(void);

/*
 * Number of slots: valid indexes are 0 to qemu_hypertrace_max_clients() - 1.
 * At least 1. Without a channel, 1024, which is htrun's default.
 */
uint64_t qemu_hypertrace_max_clients(void);

/*
 * The slot of index @voffset: qemu_hypertrace_num_args() words, in the byte
 * order of the program. The pointer is valid until qemu_hypertrace_fini(). A
 * slot keeps its words after an event. Do not write other bytes of the channel.
 *
 * Only one thread at a time may use a slot: if two threads use the same index,
 * their arguments are mixed. See qemu_hypertrace_client().
 *
 * The result is never NULL: without a channel, or if @voffset is out of range,
 * it is 64 words of memory that belong to the calling thread and are never
 * read.
 */
uint64_t *qemu_hypertrace_data(uint64_t voffset);

/*
 * Get an index for the calling thread only. Each call in the thread returns the
 * same index. No other thread gets this index, in any process that uses this
 * function with the same channel. The highest indexes are returned first, so
 * that a program can choose small indexes itself. It is free for others again
 * when the thread or the process exits, and after qemu_hypertrace_fini(). The
 * index is not valid in a child of fork(), so call this function again after
 * fork().
 *
 * The channel's file descriptor holds the index. It is close-on-exec. If a
 * program closes unknown descriptors, other threads may also get its index.
 *
 * Returns the index; 0 without a channel; or UINT64_MAX with errno
 *   EAGAIN     every index is taken, or the limit of pthread keys is reached
 *   ENOMEM     out of memory
 * or what open(2) or fcntl(2) failed with. qemu_hypertrace_data() and
 * qemu_hypertrace() accept UINT64_MAX, but no event is recorded: htrun warns.
 */
uint64_t qemu_hypertrace_client(void);

/*
 * Emit the event of index @voffset, with the arguments its slot holds now. Only
 * the lower 32 bits of @voffset are stored.
 */
static inline void qemu_hypertrace(uint64_t voffset);

/*
 * Emit @pairs pairs of events (at most 1,000,000) of each kind: with no code
 * between the events, and, for each of five kinds of work (multiplications, the
 * same in a loop, divisions, branches, loads), with a small amount of work and
 * with twice this amount. The events have index @voffset and use its slot,
 * whose words are restored afterwards. From these, hypertrace stat computes the
 * cost of an event on this thread, and corrects the durations of spans by this
 * cost.
 *
 * With the environment variable HYPERTRACE_CALIBRATE=PAIRS (hypertrace bench
 * sets it), qemu_hypertrace_init() calls this for the thread that opens the
 * channel.
 */
void qemu_hypertrace_calibrate(uint64_t voffset, uint64_t pairs);

/*
 * The first argument of the events of a pair with nothing between them. For the
 * other ten kinds of pairs, it is larger by 2, 4, 6, ... 20.
 */
#define QEMU_HYPERTRACE_CALIBRATION_BEGIN UINT64_C(0x6362726174650001)
#define QEMU_HYPERTRACE_CALIBRATION_END UINT64_C(0x6362726174650002)


/* The rest of this file is not part of the interface. */

/*
 * QEMU_HYPERTRACE_BIAS_ words before the control word, or before a word that is
 * never read. Never NULL.
 */
extern volatile uint32_t *qemu_hypertrace_control_;

/*
 * The same, or NULL if events are written to rings of the channel, so that no
 * store has to be caught. So a single load provides both the decision and the
 * address.
 */
extern volatile uint32_t *qemu_hypertrace_target_;

/* The function that writes events to a ring; NULL if events are stores. */
extern void (*qemu_hypertrace_emit_)(uint64_t voffset);

/*
 * The store goes 128 bytes after the pointer: on x86 that takes a 32-bit
 * displacement, so the instruction is of 6 bytes or more, and a tracer can
 * put a jump of 5 bytes in its place.
 */
#define QEMU_HYPERTRACE_BIAS_ 32

/* Arguments are visible before the control word. */
#if defined(__aarch64__)
#define QEMU_HYPERTRACE_BARRIER_() __asm__ __volatile__("dmb ishst" ::: "memory")
#elif defined(__riscv)
#define QEMU_HYPERTRACE_BARRIER_() __asm__ __volatile__("fence w, w" ::: "memory")
#else
#define QEMU_HYPERTRACE_BARRIER_() __atomic_thread_fence(__ATOMIC_RELEASE)
#endif

/*
 * ThreadSanitizer must know that threads store to one word on purpose. Without it, the store is plain, because
 * compilers may turn an atomic store into a swap.
 */
#if defined(__clang__)
#if __has_feature(thread_sanitizer)
#define QEMU_HYPERTRACE_STORE_(word, value) __atomic_store_n(word, value, __ATOMIC_RELAXED)
#endif
#elif defined(__SANITIZE_THREAD__)
#define QEMU_HYPERTRACE_STORE_(word, value) __atomic_store_n(word, value, __ATOMIC_RELAXED)
#endif
#ifndef QEMU_HYPERTRACE_STORE_
#define QEMU_HYPERTRACE_STORE_(word, value) ((void)(*(word) = (value)))
#endif

__attribute__((__always_inline__))
static inline void qemu_hypertrace_store_(volatile uint32_t *control, uint32_t index)
{
#if defined(__i386__) || defined(__x86_64__)
    /*
     * The store is in assembly, because a compiler that doesn't optimise would add 128 to
     * the pointer first and store with 2 bytes. The clobber is the barrier on
     * both sides: x86 keeps stores in order.
     */
    __asm__ __volatile__("{movl %0, 128(%1)|mov dword ptr [%1 + 128], %0}"
                         : : "ri" (index), "r" (control) : "memory");
#else
    QEMU_HYPERTRACE_BARRIER_();
    QEMU_HYPERTRACE_STORE_(&control[QEMU_HYPERTRACE_BIAS_], index);
    /* The arguments of the next event must not be written before this one. */
    __asm__ __volatile__("" ::: "memory");
#endif
}

__attribute__((__always_inline__))
static inline void qemu_hypertrace(uint64_t voffset)
{
    volatile uint32_t *target = __atomic_load_n(&qemu_hypertrace_target_, __ATOMIC_RELAXED);

    if (__builtin_expect(!!target, 1)) {
        qemu_hypertrace_store_(target, voffset & UINT32_C(0xffffffff));
    } else {
        __atomic_load_n(&qemu_hypertrace_emit_, __ATOMIC_RELAXED)(voffset);
    }
}

#ifdef __cplusplus
}
#endif

#endif /* QEMU_HYPERTRACE_H */
