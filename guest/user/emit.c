/*
 * Emits events by writing their records to a ring.
 *
 * A signal handler may emit events between any two instructions of this code. Each event has its
 * own record, because a single instruction reserves the number of a record (`reserved` of the
 * ring). After a handler has emitted, the interrupted event finds that `reserved` has changed. It
 * then takes the slow path, which reads all values again.
 *
 * SPDX-License-Identifier: MIT
 */

/* For syscall(). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "qemu-hypertrace.h"
#include "counter.h"
#include "ring.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#if HYPERTRACE_HAS_RINGS

#define ALWAYS_INLINE __attribute__((__always_inline__)) static inline
#define NEVER_INLINE __attribute__((__noinline__)) static
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define COMPILER_BARRIER() __asm__ __volatile__("" ::: "memory")

/* The part of a record before its arguments, in the program's byte order. */
struct record {
    uint64_t timestamp;
    union {
        uint64_t both;
        struct {
            uint32_t lap;
            uint32_t index;
        } split;
    } stamp;
    uint64_t args[];
};

/*
 * With --overflow drop, the number of records that are kept free for handlers that interrupt each
 * other between the check for room and the reservation of a number.
 */
#define DROP_MARGIN 64

/*
 * The number of laps for which the position of an interrupted event stays free, so that it may still write its record.
 */
#define LAPS_KEPT 4

#define PAUSES 100
#define YIELDS 20
#define SHORTEST_SLEEP_NS 20000
#define LONGEST_SLEEP_NS 1000000
/*
 * Each sleep takes the time slept so far, divided by this number. So a short wait ends soon, and
 * threads that wait for long seldom wake up.
 */
#define SLEEPS_TO_NEXT 8

ALWAYS_INLINE uint32_t low_half(const union hypertrace_number *number)
{
    return HYPERTRACE_LE32(__atomic_load_n(&number->halves[0], __ATOMIC_RELAXED));
}

/*
 * Adds 1, atomically with respect to signal handlers of this thread. Returns the lower half of the
 * old value. Only this thread writes the number.
 */
ALWAYS_INLINE uint32_t add_one(union hypertrace_number *number)
{
#if defined(__x86_64__)
    uint64_t old = 1;

    __asm__ __volatile__("xaddq %0, %1" : "+r" (old), "+m" (number->all) : : "memory", "cc");
    return (uint32_t)old;
#elif HYPERTRACE_WIDE && !HYPERTRACE_BIG_ENDIAN
    return (uint32_t)__atomic_fetch_add(&number->all, 1, __ATOMIC_RELAXED);
#elif HYPERTRACE_WIDE
    uint64_t old = __atomic_load_n(&number->all, __ATOMIC_RELAXED);

    while (!__atomic_compare_exchange_n(&number->all, &old, HYPERTRACE_LE64(HYPERTRACE_LE64(old) + 1), true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return (uint32_t)HYPERTRACE_LE64(old);
#else
    uint32_t old;

#if defined(__i386__)
    old = 1;
    __asm__ __volatile__("xaddl %0, %1" : "+r" (old), "+m" (number->halves[0]) : : "memory", "cc");
#else
    old = __atomic_load_n(&number->halves[0], __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&number->halves[0], &old, HYPERTRACE_LE32(HYPERTRACE_LE32(old) + 1), true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    old = HYPERTRACE_LE32(old);
#endif
    if (UNLIKELY(old == UINT32_MAX)) {
        /* If a reader reads both halves before this store, the number that it gets is 2^32 too low. */
        number->halves[1] = HYPERTRACE_LE32(HYPERTRACE_LE32(number->halves[1]) + 1);
    }
    return old;
#endif
}

ALWAYS_INLINE void read_lap(const struct hypertrace_producer *producer, uint32_t *base, uint32_t *lap)
{
#if HYPERTRACE_WIDE
    uint64_t both = producer->lap.both;

    *base = (uint32_t)both;
    *lap = (uint32_t)(both >> 32);
#else
    /* If a handler runs between these reads, it changes `reserved`, which the caller checks. */
    *base = producer->lap.split.base;
    *lap = producer->lap.split.lap;
#endif
}

/* Writes the lap word, which completes the record, and the index. */
ALWAYS_INLINE void commit(struct record *record, uint32_t lap, uint32_t index)
{
    lap |= HYPERTRACE_BY_RING;
#if HYPERTRACE_WIDE && HYPERTRACE_BIG_ENDIAN
    __atomic_store_n(&record->stamp.both, (uint64_t)lap << 32 | index, __ATOMIC_RELEASE);
#elif HYPERTRACE_WIDE
    __atomic_store_n(&record->stamp.both, (uint64_t)index << 32 | lap, __ATOMIC_RELEASE);
#else
    __atomic_store_n(&record->stamp.split.index, index, __ATOMIC_RELEASE);
    __atomic_store_n(&record->stamp.split.lap, lap, __ATOMIC_RELEASE);
#endif
}

ALWAYS_INLINE size_t record_bytes(uint32_t args)
{
    return sizeof(struct record) + (size_t)args * sizeof(uint64_t);
}

/*
 * Copies a single word. The program has just stored single words, and a wider load would have to
 * wait until these stores have left the store buffer.
 */
ALWAYS_INLINE void copy_word(uint64_t *to, const uint64_t *from)
{
    *to = *from;
#if HYPERTRACE_WIDE
    COMPILER_BARRIER();
#endif
}

ALWAYS_INLINE void copy_args(struct record *record, const struct hypertrace_producer *producer, uint32_t index,
                             uint32_t args)
{
    const uint64_t *slot = (const uint64_t *)(const void *)(producer->data + (size_t)index * producer->slot_stride);

    uint32_t i = 0;

    for (; i + 4 <= args; i += 4) {
        copy_word(&record->args[i], &slot[i]);
        copy_word(&record->args[i + 1], &slot[i + 1]);
        copy_word(&record->args[i + 2], &slot[i + 2]);
        copy_word(&record->args[i + 3], &slot[i + 3]);
    }
    for (; i < args; i++) {
        copy_word(&record->args[i], &slot[i]);
    }
}

static uint64_t now(void)
{
    return hypertrace_rings_in_use.clock == HYPERTRACE_COUNTER ? hypertrace_read_counter() : hypertrace_read_clock();
}

/* The number of records from @base to @number; negative if @number is before @base. */
static int32_t distance(uint32_t number, uint32_t base)
{
    return (int32_t)(number - base);
}

/*
 * Enters the next lap. A signal handler must see either both stores or neither of them. A single 64-bit store ensures
 * this. On machines without such a store, signals are blocked.
 */
static void write_lap(struct hypertrace_producer *producer, uint32_t base, uint32_t lap)
{
#if HYPERTRACE_WIDE
    __atomic_store_n(&producer->lap.both, (uint64_t)lap << 32 | base, __ATOMIC_RELAXED);
#else
    sigset_t all;
    sigset_t mask;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &mask);
    if (distance(base, producer->lap.split.base) > 0) {
        __atomic_store_n(&producer->lap.split.base, base, __ATOMIC_RELAXED);
        __atomic_store_n(&producer->lap.split.lap, lap, __ATOMIC_RELAXED);
    }
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
#endif
}

/*
 * The position and the lap of record @number, even if handlers have changed the producer since the
 * number was reserved.
 */
static uint32_t find_place(struct hypertrace_producer *producer, uint32_t number, uint32_t *lap)
{
    uint32_t base;
    uint32_t before;

    do {
        before = low_half(&producer->control->reserved);
        COMPILER_BARRIER();
        read_lap(producer, &base, lap);
        COMPILER_BARRIER();
    } while (before != low_half(&producer->control->reserved));
    while (distance(number, base) < 0) {
        base -= producer->count;
        *lap = *lap == 1 ? HYPERTRACE_LAPS : *lap - 1;
    }
    if (number - base >= producer->count) {
        do {
            base += producer->count;
            *lap = *lap == HYPERTRACE_LAPS ? 1 : *lap + 1;
        } while (number - base >= producer->count);
        write_lap(producer, base, *lap);
    }
    return number - base;
}

static struct record *record_at(const struct hypertrace_producer *producer, uint32_t position)
{
    size_t offset = (size_t)position * record_bytes(hypertrace_rings_in_use.num_args);

    return (struct record *)(void *)(producer->records + offset);
}

/* Makes the system call directly, because nanosleep() is a cancellation point. */
void hypertrace_sleep(long nanoseconds)
{
#if HYPERTRACE_WIDE || !defined(SYS_nanosleep)
    struct timespec time = {0, nanoseconds};
#else
    struct { long seconds, nanoseconds; } time = {0, nanoseconds};
#endif

#ifdef SYS_nanosleep
    (void)syscall(SYS_nanosleep, &time, NULL);
#else
    (void)syscall(SYS_clock_nanosleep_time64, CLOCK_MONOTONIC, 0, &time, NULL);
#endif
}

static void pause_processor(void)
{
#if defined(__i386__) || defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield" ::: "memory");
#else
    COMPILER_BARRIER();
#endif
}

static bool has_room(struct hypertrace_producer *producer, uint32_t number)
{
    producer->limit = hypertrace_limit(producer->control, producer->count);
    return distance(number, producer->limit) < 0;
}

/* Waits until the reader has released the old content of record @number's position. */
static void wait_for_room(struct hypertrace_producer *producer, uint32_t number, uintptr_t serial)
{
    const int error = errno;
    long sleep = SHORTEST_SLEEP_NS;
    long slept = 0;

    for (unsigned round = 0; *producer->serial == serial && !has_room(producer, number); round++) {
        if (round < PAUSES) {
            pause_processor();
            continue;
        }
        __atomic_store_n(&producer->control->bell, HYPERTRACE_LE32(1), __ATOMIC_RELEASE);
        if (round < PAUSES + YIELDS) {
            sched_yield();
        } else {
            hypertrace_sleep(sleep);
            if (sleep < LONGEST_SLEEP_NS) {
                slept += sleep;
                sleep = slept / SLEEPS_TO_NEXT > sleep ? slept / SLEEPS_TO_NEXT : sleep;
            }
        }
    }
    errno = error;
}

/*
 * Whether record @number can no longer be written: its event was interrupted, and meanwhile the
 * reader has skipped the record, or newer records use its position.
 */
static bool is_passed_over(const struct hypertrace_producer *producer, uint32_t number)
{
    if (hypertrace_rings_in_use.overflow == HYPERTRACE_OVERWRITE) {
        return distance(low_half(&producer->control->reserved), number) > (int32_t)producer->count;
    }
    return distance(low_half(&producer->control->released), number) > 0;
}

/*
 * In each earlier lap, one record had the same position as record @number. Counts how many of
 * these records, going back from @number, were never written, up to LAPS_KEPT. The oldest of them
 * belongs to an interrupted event, which may still write its record; the reader has skipped it
 * because another event waited for room. The other records were not written, so that the position stays free for the
 * interrupted event. @word: the position's lap word.
 */
static uint32_t count_missing(const struct hypertrace_producer *producer, uint32_t number, uint32_t lap, uint32_t word)
{
    uint32_t missing = 0;

    do {
        lap = lap == 1 ? HYPERTRACE_LAPS : lap - 1;
        number -= producer->count;
        if (distance(number, producer->first) < 0 || word == (lap | HYPERTRACE_BY_RING)) {
            break;
        }
    } while (++missing < LAPS_KEPT);
    return missing;
}

static void note_passed(struct hypertrace_producer *producer, uint32_t number)
{
    for (size_t i = sizeof producer->passed / sizeof producer->passed[0] - 1; i > 0; i--) {
        producer->passed[i] = producer->passed[i - 1];
    }
    producer->passed[0] = UINT64_C(1) << 32 | number;
}

/* Whether the position of record @number must stay free, because an interrupted event may still write there. */
static bool is_kept(struct hypertrace_producer *producer, uint32_t number, uint32_t lap, uint32_t word)
{
    uint32_t missing = count_missing(producer, number, lap, word);

    if (missing == 1) {
        note_passed(producer, number - producer->count);
    }
    /* If a record is missing for LAPS_KEPT laps, a siglongjmp() has abandoned its event. */
    return missing > 0 && missing < LAPS_KEPT;
}

/* Whether the reader has skipped record @number before it was written. Removes the number from `passed`. */
static bool forget_passed(struct hypertrace_producer *producer, uint32_t number)
{
    for (size_t i = 0; i < sizeof producer->passed / sizeof producer->passed[0]; i++) {
        if (producer->passed[i] == (UINT64_C(1) << 32 | number)) {
            producer->passed[i] = 0;
            return true;
        }
    }
    return false;
}

/* Returns @time, or the time of the next record if that is earlier. The next record is an event of a signal handler. */
static uint64_t time_before_next(struct hypertrace_producer *producer, uint32_t number, uint64_t time)
{
    uint32_t lap;
    const struct record *next = record_at(producer, find_place(producer, number + 1, &lap));
    uint64_t next_time;

    if (__atomic_load_n(&next->stamp.split.lap, __ATOMIC_ACQUIRE) != (lap | HYPERTRACE_BY_RING)) {
        return time;
    }
    next_time = next->timestamp;
    return next_time < time ? next_time : time;
}

static void emit_anew(uint64_t voffset);

/*
 * Writes record @number, whose number is reserved. Returns false if the record cannot be written,
 * so that the caller must reserve another number.
 */
static bool write_slowly(struct hypertrace_producer *producer, uint32_t number, uint32_t index, uintptr_t serial)
{
    struct record *record;
    uint64_t time;
    uint32_t lap;

    if (hypertrace_rings_in_use.overflow == HYPERTRACE_BLOCK) {
        wait_for_room(producer, number, serial);
    }
    record = record_at(producer, find_place(producer, number, &lap));
    if (hypertrace_rings_in_use.overflow == HYPERTRACE_BLOCK &&
        is_kept(producer, number, lap, __atomic_load_n(&record->stamp.split.lap, __ATOMIC_RELAXED))) {
        return false;
    }
    time = now();
    COMPILER_BARRIER();
    if (*producer->serial != serial) {
        return false;
    }
    if (low_half(&producer->control->reserved) != number + 1) {
        if (is_passed_over(producer, number)) {
            return false;
        }
        time = time_before_next(producer, number, time);
    }
    record->timestamp = time;
    copy_args(record, producer, index, hypertrace_rings_in_use.num_args);
    commit(record, lap, index);
    COMPILER_BARRIER();
    return low_half(&producer->control->reserved) == number + 1 || !forget_passed(producer, number);
}

/*
 * Emits an event for which record @number is reserved. Called if the record begins a new lap, if it
 * is not known to have room, or if a signal handler has emitted meanwhile.
 */
NEVER_INLINE void record_slowly(struct hypertrace_producer *producer, uint32_t number, uint32_t index, uintptr_t serial)
{
    for (;;) {
        if (*producer->serial != serial) {
            /* A signal handler has called fork(), and this is the child: the number belongs to the parent. */
            emit_anew(index);
            return;
        }
        if (hypertrace_rings_in_use.overflow == HYPERTRACE_DROP && !has_room(producer, number)) {
            /* There are more nested handlers than DROP_MARGIN allows for. No record gets this number. */
            add_one(&producer->control->dropped);
            return;
        }
        if (write_slowly(producer, number, index, serial)) {
            if (*producer->serial == serial) {
                return;
            }
        } else if (*producer->serial == serial) {
            number = add_one(&producer->control->reserved);
        }
    }
}

/*
 * Called if a signal handler has run after the checks. The reader may have skipped the record
 * before it was written. If the handler has called fork() and this is the child, the record belongs
 * to the parent. In both cases the event is emitted again.
 */
NEVER_INLINE void check_written(struct hypertrace_producer *producer, uint32_t number, uint32_t index, uintptr_t serial)
{
    if (*producer->serial != serial) {
        emit_anew(index);
    } else if (forget_passed(producer, number)) {
        record_slowly(producer, add_one(&producer->control->reserved), index, serial);
    }
}

/*
 * Emits an event. @args, @overflow and @counter (whether time stamps come from the counter) are
 * constants in the fast variant. In the general variant, they come from hypertrace_rings_in_use.
 */
ALWAYS_INLINE void emit(uint64_t voffset, uint32_t args, uint32_t overflow, bool counter)
{
    struct hypertrace_producer *producer = __atomic_load_n(&hypertrace_mine.producer, __ATOMIC_RELAXED);
    const uintptr_t serial = __atomic_load_n(&hypertrace_mine.serial, __ATOMIC_RELAXED);
    const uint32_t index = (uint32_t)voffset;
    struct hypertrace_control_block *control;
    struct record *record;
    uint32_t base;
    uint32_t lap;
    uint32_t number;
    uint64_t time;

    if (UNLIKELY(producer == NULL) || UNLIKELY(*producer->serial != serial) ||
        UNLIKELY(index >= producer->max_clients)) {
        emit_anew(voffset);
        return;
    }
    control = producer->control;
    if (overflow == HYPERTRACE_DROP &&
        UNLIKELY(distance(low_half(&control->reserved) + DROP_MARGIN, producer->limit) >= 0) &&
        !has_room(producer, low_half(&control->reserved) + DROP_MARGIN)) {
        add_one(&control->dropped);
        return;
    }
    number = add_one(&control->reserved);
    read_lap(producer, &base, &lap);
    if (UNLIKELY(number - base >= producer->count) ||
        (overflow != HYPERTRACE_OVERWRITE && UNLIKELY(distance(number, producer->limit) >= 0))) {
        record_slowly(producer, number, index, serial);
        return;
    }
    time = counter ? hypertrace_read_counter() : hypertrace_read_clock();
    COMPILER_BARRIER();
    if (UNLIKELY(low_half(&control->reserved) != number + 1) || UNLIKELY(*producer->serial != serial)) {
        record_slowly(producer, number, index, serial);
        return;
    }
    record = (struct record *)(void *)(producer->records + (size_t)(number - base) * record_bytes(args));
    record->timestamp = time;
    copy_args(record, producer, index, args);
    commit(record, lap, index);
    COMPILER_BARRIER();
    if (UNLIKELY(low_half(&control->reserved) != number + 1) || UNLIKELY(*producer->serial != serial)) {
        check_written(producer, number, index, serial);
    }
}

/*
 * Answers the number in the header with a reading of this machine's clock. The number is read
 * before the clock, and htrun reads its own clock after it has found the answer. A signal handler
 * that interrupts this function does not answer the number.
 */
void hypertrace_answer(struct hypertrace_producer *producer)
{
    uint32_t idle = 0;
    uint32_t number;
    uint64_t time;

    if (!__atomic_compare_exchange_n(&producer->answering, &idle, 1, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return;
    }
    number = __atomic_load_n(hypertrace_rings_in_use.exchange, __ATOMIC_ACQUIRE);
    hypertrace_finish_loads();
    time = now();
    __atomic_store_n(&producer->control->answered, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    __atomic_store_n(&producer->control->answer.halves[0], HYPERTRACE_LE32((uint32_t)time), __ATOMIC_RELAXED);
    __atomic_store_n(&producer->control->answer.halves[1], HYPERTRACE_LE32((uint32_t)(time >> 32)), __ATOMIC_RELAXED);
    __atomic_store_n(&producer->control->answered, number, __ATOMIC_RELEASE);
    producer->answered = number;
    __atomic_store_n(&producer->answering, 0, __ATOMIC_RELEASE);
}

static void emit_4(uint64_t voffset)
{
    emit(voffset, 4, HYPERTRACE_BLOCK, true);
}

static void emit_any(uint64_t voffset)
{
    emit(voffset, hypertrace_rings_in_use.num_args, hypertrace_rings_in_use.overflow,
         hypertrace_rings_in_use.clock == HYPERTRACE_COUNTER);
}

static void emit_in_machine(uint64_t voffset)
{
    struct hypertrace_producer *producer = __atomic_load_n(&hypertrace_mine.producer, __ATOMIC_RELAXED);

    if (producer != NULL && *producer->serial == hypertrace_mine.serial &&
        UNLIKELY(__atomic_load_n(hypertrace_rings_in_use.exchange, __ATOMIC_RELAXED) != producer->answered)) {
        hypertrace_answer(producer);
    }
    emit_any(voffset);
}

/*
 * Emits by a store to the control word, if the thread has no ring, or if the index is out of range.
 * In the latter case htrun warns.
 */
static void store(uint64_t voffset)
{
    hypertrace_say_hello();
    qemu_hypertrace_store_(__atomic_load_n(&qemu_hypertrace_control_, __ATOMIC_RELAXED), (uint32_t)voffset);
}

NEVER_INLINE void emit_anew(uint64_t voffset)
{
    const struct hypertrace_producer *producer = hypertrace_claim();

    if (producer == NULL || (uint32_t)voffset >= producer->max_clients) {
        store(voffset);
    } else {
        emit_any(voffset);
    }
}

hypertrace_emit hypertrace_emit_function(void)
{
    const struct hypertrace_rings_in_use *use = &hypertrace_rings_in_use;

    if (use->exchange != NULL) {
        return emit_in_machine;
    }
    return use->num_args == 4 && use->overflow == HYPERTRACE_BLOCK && use->clock == HYPERTRACE_COUNTER ? emit_4
                                                                                                     : emit_any;
}

#endif /* HYPERTRACE_HAS_RINGS */
