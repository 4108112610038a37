/*
 * Writes events to rings, without an operating system. docs/formats.md describes the channel and
 * its rings.
 *
 * SPDX-License-Identifier: MIT
 */

#include "qemu-hypertrace-freestanding.h"

#include <stddef.h>

/* The header's fields, by their offsets. */
enum field {
    VERSION = 0x08,
    NUM_ARGS = 0x0c,
    MAX_CLIENTS = 0x10,
    TOTAL_SIZE = 0x38,
    RING_MODE = 0x40,
    HOST_MACHINE = 0x44,
    RING_OFFSET = 0x48,
    RING_STRIDE = 0x50,
    RING_COUNT = 0x58,
    RING_RECORDS = 0x5c,
    RING_OVERFLOW = 0x64,
    EXCHANGE = 0x74
};

/* The control block of a ring. */
enum control {
    OWNER = 0x00,
    COOKIE = 0x08,
    STATE = 0x10,
    FLAGS = 0x14,
    NAME = 0x18,
    RESERVED = 0x40,
    DROPPED = 0x48,
    BELL = 0x50,
    ANSWERED = 0x58,
    ANSWER = 0x60,
    RELEASED = 0x80
};

enum { RINGS_FOR_NATIVE = 1, RINGS_FOR_ALL = 2 };
enum { CLAIMED = 1, USED = 2, ENDED = 3 };
enum { BLOCK, DROP, OVERWRITE };

#define HEADER_BYTES 0x78
#define SUPPORTED_VERSION 1
#define MOST_ARGS 64
#define CONTROL_BLOCK 4096
#define ALIGNMENT 65536
#define MIN_RECORDS 128
#define MAX_RECORDS (UINT32_C(1) << 28)
#define RECORD_HEADER 16
#define NAME_BYTES 16
#define LAPS UINT32_C(0x7fffffff)
#define BY_RING UINT32_C(0x80000000)
#define KERNEL_OWNER UINT32_C(0xffffffff)
#define IN_MACHINE 2

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define BIG_ENDIAN_BIT 1
#define LE32(value) __builtin_bswap32(value)
#else
#define BIG_ENDIAN_BIT 0
#define LE32(value) (value)
#endif

/* The ELF machine of a host whose processor can run this code, and the number of its counter. 0: no such host. */
#if defined(__i386__) || defined(__x86_64__)
enum { NATIVE_MACHINE = 62, COUNTER = 0 };
#elif defined(__aarch64__)
enum { NATIVE_MACHINE = 183, COUNTER = 2 };
#elif defined(__riscv) && __riscv_xlen == 64
enum { NATIVE_MACHINE = 243, COUNTER = 3 };
#elif defined(__powerpc64__)
enum { NATIVE_MACHINE = 21, COUNTER = 4 };
#elif defined(__s390x__)
enum { NATIVE_MACHINE = 22, COUNTER = 5 };
#else
#error "this processor's counter is not known: add it here and in htrun"
#endif

static uint64_t read_counter(void)
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
#elif defined(__riscv)
    uint64_t count;

    __asm__ __volatile__("rdtime %0" : "=r" (count) : : "memory");
    return count;
#elif defined(__powerpc64__)
    uint64_t count;

    __asm__ __volatile__("mfspr %0, 268" : "=r" (count) : : "memory");
    return count;
#else
    uint64_t count;

    __asm__ __volatile__(".insn s,0xb27c0000,%0" : "=Q" (count) : : "memory", "cc");
    return count;
#endif
}

/* Makes sure that a later reading of the counter happens after earlier loads. */
static void finish_loads(void)
{
#if defined(__x86_64__)
    __asm__ __volatile__("lfence" : : : "memory");
#elif defined(__i386__)
    uint32_t eax = 0, ebx, ecx = 0, edx;

    __asm__ __volatile__("cpuid" : "+a" (eax), "=b" (ebx), "+c" (ecx), "=d" (edx) : : "memory");
#elif defined(__aarch64__)
    __asm__ __volatile__("dsb ld; isb" : : : "memory");
#elif defined(__powerpc64__)
    __asm__ __volatile__("sync; isync" : : : "memory");
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

static void pause_processor(void)
{
#if defined(__i386__) || defined(__x86_64__)
    __asm__ __volatile__("pause" : : : "memory");
#elif defined(__aarch64__)
    __asm__ __volatile__("yield" : : : "memory");
#else
    __asm__ __volatile__("" : : : "memory");
#endif
}

/* Whether the processor runs this code itself: on x86, QEMU's translator identifies itself by CPUID. */
static bool is_native(uint32_t host_machine)
{
#if defined(__i386__) || defined(__x86_64__)
    uint32_t eax = 1, ebx, ecx = 0, edx;

    __asm__ __volatile__("cpuid" : "+a" (eax), "=b" (ebx), "+c" (ecx), "=d" (edx));
    if ((ecx >> 31 & 1) != 0) {
        eax = UINT32_C(0x40000000);
        __asm__ __volatile__("cpuid" : "+a" (eax), "=b" (ebx), "+c" (ecx), "=d" (edx));
        /* "TCGTCGTCGTCG" */
        if (ebx == UINT32_C(0x54474354) && ecx == UINT32_C(0x43544743) && edx == UINT32_C(0x47435447)) {
            return false;
        }
    }
#endif
    return host_machine == NATIVE_MACHINE;
}

/* Numbers in the channel are little-endian. Each 32-bit half is read by a single access. */
static uint32_t get(const unsigned char *memory, unsigned offset)
{
    return LE32(__atomic_load_n((const uint32_t *)(const void *)(memory + offset), __ATOMIC_ACQUIRE));
}

static uint64_t get_wide(const unsigned char *memory, unsigned offset)
{
    return (uint64_t)get(memory, offset + 4) << 32 | get(memory, offset);
}

static void put(unsigned char *memory, unsigned offset, uint32_t value)
{
    __atomic_store_n((uint32_t *)(void *)(memory + offset), LE32(value), __ATOMIC_RELEASE);
}

/* Adds 1 to a number that only this code writes. Returns the lower half of the old value. */
static uint32_t add_one(unsigned char *memory, unsigned offset)
{
    uint32_t old = get(memory, offset);

    if (old == UINT32_MAX) {
        put(memory, offset + 4, get(memory, offset + 4) + 1);
    }
    put(memory, offset, old + 1);
    return old;
}

/* The number of records from @base to @number; negative if @number is before @base. */
static int32_t distance(uint32_t number, uint32_t base)
{
    return (int32_t)(number - base);
}

static size_t record_bytes(const struct qemu_hypertrace_channel *channel)
{
    return RECORD_HEADER + (size_t)channel->num_args * 8;
}

static bool has_sane_rings(const struct qemu_hypertrace_channel *channel, const unsigned char *memory)
{
    return channel->records >= MIN_RECORDS && channel->records <= MAX_RECORDS && channel->overflow <= OVERWRITE &&
           channel->offset % ALIGNMENT == 0 && channel->offset >= get_wide(memory, TOTAL_SIZE) &&
           channel->stride % ALIGNMENT == 0 &&
           channel->stride >= CONTROL_BLOCK + (uint64_t)channel->records * record_bytes(channel);
}

/* The number of rings in the device's memory, which may be only the beginning of the channel's file. */
static uint32_t count_visible_rings(const struct qemu_hypertrace_channel *channel, uint32_t count, uint64_t size)
{
    uint64_t end = channel->offset + channel->stride;
    uint32_t visible = 0;

    while (visible < count && end <= size && end >= channel->stride) {
        visible++;
        end += channel->stride;
    }
    return visible;
}

enum qemu_hypertrace_result qemu_hypertrace_attach(struct qemu_hypertrace_channel *channel, void *memory,
                                                   uint64_t size)
{
    static const char magic[8] = {'H', 'Y', 'P', 'R', 'T', 'R', 'C', '1'};
    const unsigned char *header = (const unsigned char *)memory;
    uint32_t mode;

    for (unsigned i = 0; i < sizeof magic; i++) {
        if (size < HEADER_BYTES || header[i] != (unsigned char)magic[i]) {
            return QEMU_HYPERTRACE_NO_CHANNEL;
        }
    }
    if (get(header, VERSION) != SUPPORTED_VERSION) {
        return QEMU_HYPERTRACE_NO_CHANNEL;
    }
    channel->memory = (unsigned char *)memory;
    channel->num_args = get(header, NUM_ARGS);
    channel->max_clients = get(header, MAX_CLIENTS);
    channel->offset = get_wide(header, RING_OFFSET);
    channel->stride = get_wide(header, RING_STRIDE);
    channel->records = get(header, RING_RECORDS);
    channel->overflow = get(header, RING_OVERFLOW);
    channel->clock = COUNTER;
    mode = get(header, RING_MODE);
    if (mode != RINGS_FOR_ALL && !(mode == RINGS_FOR_NATIVE && is_native(get(header, HOST_MACHINE)))) {
        return QEMU_HYPERTRACE_NO_RINGS;
    }
    if (channel->num_args < 1 || channel->num_args > MOST_ARGS || !has_sane_rings(channel, header)) {
        return QEMU_HYPERTRACE_BAD_HEADER;
    }
    channel->rings = count_visible_rings(channel, get(header, RING_COUNT), size);
    return channel->rings != 0 ? QEMU_HYPERTRACE_OK : QEMU_HYPERTRACE_NO_RINGS;
}

/*
 * Makes the processor the owner of a ring, if the ring is free. A ring has an owner if either half
 * of the owner word is not zero, so an atomic exchange of the lower half is sufficient.
 */
static bool take_ownership(unsigned char *control, uint32_t cpu)
{
    uint32_t nobody = 0;

    if (get(control, OWNER + 4) != 0 ||
        !__atomic_compare_exchange_n((uint32_t *)(void *)(control + OWNER), &nobody, LE32(cpu + 1), false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return false;
    }
    put(control, OWNER + 4, KERNEL_OWNER);
    return true;
}

/*
 * Computes the lap of the next record from the number of records so far, without a 64-bit division,
 * which would need a library on 32-bit machines.
 */
static void find_lap(struct qemu_hypertrace_ring *ring, uint64_t reserved)
{
    const uint32_t records = ring->channel->records;
    uint64_t quotient = 0;
    uint64_t rest = 0;
    uint64_t laps = 0;

    for (int bit = 63; bit >= 0; bit--) {
        rest = rest << 1 | (reserved >> bit & 1);
        if (rest >= records) {
            rest -= records;
            quotient |= UINT64_C(1) << bit;
        }
    }
    for (int bit = 63; bit >= 0; bit--) {
        laps = laps << 1 | (quotient >> bit & 1);
        if (laps >= LAPS) {
            laps -= LAPS;
        }
    }
    ring->base = (uint32_t)(reserved - rest);
    ring->lap = (uint32_t)laps + 1;
}

/*
 * Answers the number in the header with a reading of this machine's clock, so that htrun can relate
 * this clock to its own. The number is read before the clock.
 */
static void answer(struct qemu_hypertrace_ring *ring)
{
    const uint32_t number = get(ring->channel->memory, EXCHANGE);
    uint64_t time;

    finish_loads();
    time = read_counter();
    put(ring->memory, ANSWERED, 0);
    put(ring->memory, ANSWER, (uint32_t)time);
    put(ring->memory, ANSWER + 4, (uint32_t)(time >> 32));
    put(ring->memory, ANSWERED, number);
    ring->answered = number;
}

static void fill_in(struct qemu_hypertrace_ring *ring, const char *name)
{
    unsigned char *control = ring->memory;
    const uint64_t cookie = read_counter() | 1;
    bool ended = false;

    put(control, STATE, CLAIMED);
    put(control, COOKIE, (uint32_t)cookie);
    put(control, COOKIE + 4, (uint32_t)(cookie >> 32));
    put(control, FLAGS, BIG_ENDIAN_BIT | IN_MACHINE | ring->channel->clock << 8);
    for (unsigned i = 0; i < NAME_BYTES; i++) {
        ended = ended || name[i] == '\0' || i == NAME_BYTES - 1;
        control[NAME + i] = ended ? 0 : (unsigned char)name[i];
    }
    find_lap(ring, get_wide(control, RESERVED));
    ring->limit = get(control, RELEASED) + ring->channel->records;
    answer(ring);
    put(control, STATE, USED);
}

enum qemu_hypertrace_result qemu_hypertrace_claim(const struct qemu_hypertrace_channel *channel,
                                                  struct qemu_hypertrace_ring *ring, uint32_t cpu, const char *name)
{
    unsigned char *control = channel->memory + channel->offset;

    for (uint32_t number = 0; number < channel->rings; number++, control += channel->stride) {
        if (take_ownership(control, cpu)) {
            ring->channel = channel;
            ring->memory = control;
            fill_in(ring, name);
            return QEMU_HYPERTRACE_OK;
        }
    }
    return QEMU_HYPERTRACE_NO_FREE_RING;
}

static bool has_room(struct qemu_hypertrace_ring *ring, uint32_t number)
{
    if (distance(number, ring->limit) < 0) {
        return true;
    }
    ring->limit = get(ring->memory, RELEASED) + ring->channel->records;
    return distance(number, ring->limit) < 0;
}

static void wait_for_room(struct qemu_hypertrace_ring *ring, uint32_t number)
{
    while (!has_room(ring, number)) {
        put(ring->memory, BELL, 1);
        pause_processor();
    }
}

/* The position of record @number. */
static uint32_t find_place(struct qemu_hypertrace_ring *ring, uint32_t number)
{
    if (number - ring->base >= ring->channel->records) {
        ring->base += ring->channel->records;
        ring->lap = ring->lap == LAPS ? 1 : ring->lap + 1;
    }
    return number - ring->base;
}

void qemu_hypertrace_emit(struct qemu_hypertrace_ring *ring, uint32_t index, const uint64_t *args, uint32_t count)
{
    const struct qemu_hypertrace_channel *channel = ring->channel;
    unsigned char *record;
    uint64_t *words;
    uint32_t number;

    if (get(channel->memory, EXCHANGE) != ring->answered) {
        answer(ring);
    }
    if (channel->overflow == DROP && !has_room(ring, get(ring->memory, RESERVED))) {
        (void)add_one(ring->memory, DROPPED);
        return;
    }
    number = add_one(ring->memory, RESERVED);
    if (channel->overflow == BLOCK) {
        wait_for_room(ring, number);
    }
    record = ring->memory + CONTROL_BLOCK + (size_t)find_place(ring, number) * record_bytes(channel);
    words = (uint64_t *)(void *)record;
    words[0] = read_counter();
    for (uint32_t i = 0; i < channel->num_args; i++) {
        words[2 + i] = i < count ? args[i] : 0;
    }
    ((uint32_t *)(void *)record)[3] = index < channel->max_clients ? index : 0;
    __atomic_store_n((uint32_t *)(void *)record + 2, ring->lap | BY_RING, __ATOMIC_RELEASE);
}

void qemu_hypertrace_release(struct qemu_hypertrace_ring *ring)
{
    put(ring->memory, STATE, ENDED);
}
