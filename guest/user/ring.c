/*
 * Claims a ring for a thread at its first event, and frees the ring when the thread exits.
 *
 * Rings are mapped in chunks, since a tracer stops a process at each mapping of the channel. The
 * state of a process's rings is in one table. The kernel fills this table with zeros in a child of
 * fork().
 *
 * SPDX-License-Identifier: MIT
 */

/* For syscall(), MADV_WIPEONFORK. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "counter.h"
#include "qemu-hypertrace.h"
#include "ring.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

hypertrace_emit qemu_hypertrace_emit_;

#if HYPERTRACE_HAS_RINGS

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* The maximum number of bytes of slots that are populated in advance. */
#define MOST_POPULATED (256 << 10)

/* The number of times that a thread waits for a free ring, and the time of each wait: 10 s in total. */
#define MOST_WAITS 5000
#define WAIT_NS 2000000

/* The values of `ring_mode` in the header. */
#define RINGS_FOR_NATIVE_PROGRAMS 1
#define RINGS_FOR_ALL 2

/*
 * glibc's pthread_setspecific() may call malloc() for keys from here on, which
 * a signal handler must not do.
 */
#ifdef __GLIBC__
#define EASY_KEYS 32
#else
#define EASY_KEYS UINT32_MAX
#endif

/* The state of this process's rings. In a child of fork() it is all zeros until the child's first event. */
struct process {
    uintptr_t epoch;                    /* differs from the epochs of all ancestors of the process */
    uint64_t cookie;
    uint64_t namespace_id;
    uint32_t pid;
    uint32_t hint;                      /* where to start the search for a free ring */
    uintptr_t serials[];                /* for each ring, the serial number of this process's claim */
};

__thread struct hypertrace_mine hypertrace_mine;
struct hypertrace_rings_in_use hypertrace_rings_in_use;

/* These tables are never freed, since threads have pointers into them. They are NULL before the first use. */
static struct process *process;
static struct hypertrace_producer *producers;           /* one for each ring */
static size_t process_size;
static size_t producers_size;
static uintptr_t last_serial;           /* not in the table, so that it keeps its value in a child of fork() */

static const struct hypertrace_channel *channel;        /* NULL: no rings in use */
static unsigned char **chunks;                          /* NULL: not mapped yet */

static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static bool has_key;

static uintptr_t next_serial(void)
{
    uintptr_t serial;

    do {
        serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
    } while (serial == 0);
    return serial;
}

static uint32_t own_pid(void)
{
    /* Makes the system call directly, because getpid() of some old C libraries returns the parent's id in a child. */
    return (uint32_t)syscall(SYS_getpid);
}

/* A number other than 0 that is unique to this program image: splitmix64 of values that differ between images. */
static uint64_t make_cookie(uint32_t pid)
{
    uint64_t mixed = hypertrace_read_clock() ^ (uint64_t)pid << 40 ^ (uint64_t)(uintptr_t)&mixed;

    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    mixed ^= mixed >> 31;
    return mixed != 0 ? mixed : 1;
}

/* The inode of this process's PID namespace; 0 if /proc is not mounted. */
static uint64_t find_namespace(void)
{
    struct stat file;

    return stat("/proc/self/ns/pid", &file) == 0 ? file.st_ino : 0;
}

/* Called at the first claim of a ring in a process. Several threads may call this at the same time. */
static void begin_process(uint32_t pid)
{
    uintptr_t none = 0;

    process->cookie = make_cookie(pid);
    process->namespace_id = (channel->rings.flags & HYPERTRACE_UNTRACED) != 0 ? find_namespace() : 0;
    __atomic_store_n(&process->pid, pid, __ATOMIC_RELAXED);
    (void)__atomic_compare_exchange_n(&process->epoch, &none, next_serial(), false, __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

/* Chunks */

static size_t chunk_bytes(uint32_t chunk)
{
    uint32_t rings = channel->rings.count - chunk * channel->rings.chunk;

    return (size_t)(rings < channel->rings.chunk ? rings : channel->rings.chunk) * (size_t)channel->rings.stride;
}

static uint32_t count_chunks(void)
{
    return (channel->rings.count - 1) / channel->rings.chunk + 1;
}

/*
 * Populates the page tables, so that a thread's first event causes no page faults. They would take longer than the rest
 * of the event. Before Linux 5.14 this fails, and the first event has the page faults.
 */
static void populate_rings(unsigned char *memory, size_t size)
{
    const size_t wanted = HYPERTRACE_CONTROL_BLOCK + (size_t)sysconf(_SC_PAGESIZE);

    for (size_t start = 0; start < size; start += (size_t)channel->rings.stride) {
        if (madvise(memory + start, wanted, MADV_POPULATE_WRITE) != 0) {
            return;
        }
    }
}

static void populate_slots(void)
{
    const uint64_t size = channel->max_clients * channel->slot_stride;

    (void)madvise(channel->data, size < MOST_POPULATED ? (size_t)size : MOST_POPULATED, MADV_POPULATE_WRITE);
}

static unsigned char *map_chunk(uint32_t chunk)
{
    uint64_t offset = channel->rings.offset + (uint64_t)chunk * channel->rings.chunk * channel->rings.stride;
    unsigned char *unmapped = NULL;
    unsigned char *memory;

    if (!hypertrace_channel_is_fd(channel, channel->fd)) {
        return NULL;
    }
    memory = (unsigned char *)mmap(NULL, chunk_bytes(chunk), PROT_READ | PROT_WRITE, MAP_SHARED, channel->fd,
                                   (off_t)offset);
    if (memory == MAP_FAILED) {
        return NULL;
    }
    if (!__atomic_compare_exchange_n(&chunks[chunk], &unmapped, memory, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        /* Another thread has mapped the chunk at the same time. */
        munmap(memory, chunk_bytes(chunk));
        return unmapped;
    }
    populate_rings(memory, chunk_bytes(chunk));
    return memory;
}

static struct hypertrace_control_block *find_ring(uint32_t ring)
{
    uint32_t chunk = ring / channel->rings.chunk;
    unsigned char *memory = __atomic_load_n(&chunks[chunk], __ATOMIC_ACQUIRE);

    if (memory == NULL) {
        memory = map_chunk(chunk);
    }
    if (memory != NULL) {
        memory += (size_t)(ring % channel->rings.chunk) * (size_t)channel->rings.stride;
    }
    return (struct hypertrace_control_block *)(void *)memory;
}

/* Claiming */

/*
 * Makes the thread the owner of a ring, if the ring is free. A ring has an owner if either half of
 * the owner word is not zero.
 */
static bool take_ownership(struct hypertrace_control_block *control, uint32_t pid, uint32_t tid)
{
#if __GCC_ATOMIC_LLONG_LOCK_FREE == 2
    uint64_t nobody = 0;
    uint64_t owner = (uint64_t)pid << 32 | tid;

    return __atomic_load_n(&control->owner.halves[0], __ATOMIC_RELAXED) == 0 &&
           __atomic_compare_exchange_n(&control->owner.all, &nobody, HYPERTRACE_LE64(owner), false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_RELAXED);
#else
    uint32_t nobody = 0;

    if (__atomic_load_n(&control->owner.halves[0], __ATOMIC_RELAXED) != 0 ||
        !__atomic_compare_exchange_n(&control->owner.halves[0], &nobody, HYPERTRACE_LE32(tid), false, __ATOMIC_ACQUIRE,
                                     __ATOMIC_RELAXED)) {
        return false;
    }
    __atomic_store_n(&control->owner.halves[1], HYPERTRACE_LE32(pid), __ATOMIC_RELEASE);
    return true;
#endif
}

static uint64_t read_number(const union hypertrace_number *number)
{
    uint64_t high = HYPERTRACE_LE32(__atomic_load_n(&number->halves[1], __ATOMIC_RELAXED));

    return high << 32 | HYPERTRACE_LE32(__atomic_load_n(&number->halves[0], __ATOMIC_RELAXED));
}

static void fill_in_control(struct hypertrace_producer *producer)
{
    struct hypertrace_control_block *control = producer->control;
    uint32_t flags = HYPERTRACE_BIG_ENDIAN | (channel->in_machine ? HYPERTRACE_IN_MACHINE : 0) |
                     hypertrace_rings_in_use.clock << 8;
    char name[16] = "";

    __atomic_store_n(&control->state, HYPERTRACE_LE32(HYPERTRACE_RING_CLAIMED), __ATOMIC_RELAXED);
    control->cookie = HYPERTRACE_LE64(process->cookie);
    control->flags = HYPERTRACE_LE32(flags);
    control->namespace_id = HYPERTRACE_LE64(process->namespace_id);
    control->claim_time = (channel->rings.flags & HYPERTRACE_UNTRACED) != 0 ? HYPERTRACE_LE64(hypertrace_read_clock()) : 0;
    (void)prctl(PR_GET_NAME, name, 0, 0, 0);
    memcpy(control->name, name, sizeof control->name);
    __atomic_store_n(&control->answered, 0, __ATOMIC_RELAXED);
    if (hypertrace_rings_in_use.exchange != NULL) {
        hypertrace_answer(producer);
    }
    __atomic_store_n(&control->state, HYPERTRACE_LE32(HYPERTRACE_RING_USED), __ATOMIC_RELEASE);
}

static void fill_in_producer(struct hypertrace_producer *producer, struct hypertrace_control_block *control)
{
    uint64_t reserved = read_number(&control->reserved);
    uint64_t laps = reserved / channel->rings.records;
    uint32_t base = (uint32_t)(laps * channel->rings.records);
    uint32_t lap = (uint32_t)(laps % HYPERTRACE_LAPS + 1);

    /* The serial number may still be set if the last owner was killed. */
    producer->serial = &process->serials[producer - producers];
    __atomic_store_n(producer->serial, 0, __ATOMIC_RELAXED);
    producer->control = control;
    producer->records = (unsigned char *)control + HYPERTRACE_CONTROL_BLOCK;
    producer->data = channel->data;
    producer->slot_stride = (uint32_t)channel->slot_stride;
    producer->max_clients = (uint32_t)channel->max_clients;
    producer->count = channel->rings.records;
    producer->limit = hypertrace_limit(control, producer->count);
    producer->first = (uint32_t)reserved;
    memset(producer->passed, 0, sizeof producer->passed);
    producer->answered = 0;
    producer->answering = 0;
#if HYPERTRACE_WIDE
    producer->lap.both = (uint64_t)lap << 32 | base;
#else
    producer->lap.split.base = base;
    producer->lap.split.lap = lap;
#endif
}

/*
 * Claims a ring for the calling thread. Returns the index of the ring, or the number of rings if
 * none is free.
 */
static uint32_t take_ring(uint32_t pid)
{
    uint32_t tid = (uint32_t)syscall(SYS_gettid);
    uint32_t count = channel->rings.count;
    uint32_t first = __atomic_load_n(&process->hint, __ATOMIC_RELAXED) % count;

    for (uint32_t tried = 0; tried < count; tried++) {
        uint32_t ring = first + tried < count ? first + tried : first + tried - count;
        struct hypertrace_control_block *control = find_ring(ring);

        if (control != NULL && take_ownership(control, pid, tid)) {
            __atomic_store_n(&process->hint, ring + 1, __ATOMIC_RELAXED);
            return ring;
        }
        if (control == NULL) {
            /* Skip the other rings of this chunk, which cannot be mapped either. */
            tried += channel->rings.chunk - ring % channel->rings.chunk - 1;
        }
    }
    return count;
}

/*
 * Like take_ring(), but waits for a free ring if there is no tracer, because an event that is
 * emitted by a store would be lost then. htrun may have just started, or may still be freeing the
 * rings of processes that have just exited.
 */
static uint32_t take_ring_patiently(uint32_t pid)
{
    uint32_t ring = take_ring(pid);

    if ((channel->rings.flags & HYPERTRACE_UNTRACED) != 0) {
        for (unsigned waits = 0; ring == channel->rings.count && waits < MOST_WAITS; waits++) {
            hypertrace_sleep(WAIT_NS);
            ring = take_ring(pid);
        }
    }
    return ring;
}

/*
 * Claims a ring for the calling thread, unless it has one. All signals must be blocked, so that no
 * handler claims a ring meanwhile.
 */
static struct hypertrace_producer *claim(bool in_handler)
{
    struct hypertrace_mine *mine = &hypertrace_mine;
    struct hypertrace_producer *producer = mine->producer;
    uint32_t pid = own_pid();
    uint32_t ring;

    if (__atomic_load_n(&process->epoch, __ATOMIC_ACQUIRE) == 0) {
        begin_process(pid);
    }
    if (producer != NULL && __atomic_load_n(producer->serial, __ATOMIC_RELAXED) == mine->serial) {
        return producer;
    }
    /*
     * A child of vfork() must not claim a ring: the ring would be freed when the child exits, but
     * the parent would continue to use it, since they share their memory.
     */
    if (mine->refused == process->epoch || pid != __atomic_load_n(&process->pid, __ATOMIC_RELAXED)) {
        return NULL;
    }
    ring = take_ring_patiently(pid);
    if (ring == channel->rings.count) {
        mine->refused = process->epoch;
        return NULL;
    }
    producer = &producers[ring];
    /* Pairs with the store in release(): all accesses of the previous owner to this producer have happened before. */
    (void)__atomic_load_n(&process->serials[ring], __ATOMIC_ACQUIRE);
    fill_in_producer(producer, find_ring(ring));
    fill_in_control(producer);
    mine->serial = next_serial();
    mine->producer = producer;
    __atomic_store_n(producer->serial, mine->serial, __ATOMIC_RELEASE);
    if (has_key && (key < EASY_KEYS || !in_handler)) {
        /*
         * Free the ring when the thread exits. If this is impossible, the tracer notices the exit,
         * and frees the ring.
         */
        (void)pthread_setspecific(key, producer);
    }
    return producer;
}

static struct hypertrace_producer *claim_undisturbed(bool in_handler)
{
    const int error = errno;
    struct hypertrace_producer *producer;
    sigset_t all;
    sigset_t mask;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &mask);
    producer = claim(in_handler);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
    errno = error;
    return producer;
}

struct hypertrace_producer *hypertrace_claim(void)
{
    return claim_undisturbed(true);
}

void hypertrace_rings_expect_events(void)
{
    if (__atomic_load_n(&qemu_hypertrace_emit_, __ATOMIC_RELAXED) != NULL) {
        (void)claim_undisturbed(false);
    }
}

/* Freeing */

static void release(struct hypertrace_producer *producer)
{
    uint32_t ring = (uint32_t)(producer - producers);

    __atomic_store_n(producer->serial, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&producer->control->state, HYPERTRACE_LE32(HYPERTRACE_RING_ENDED), __ATOMIC_RELEASE);
    if (ring < __atomic_load_n(&process->hint, __ATOMIC_RELAXED)) {
        __atomic_store_n(&process->hint, ring, __ATOMIC_RELAXED);
    }
}

/*
 * Called when a thread exits. If a signal handler or a later destructor of the thread emits after
 * this, it claims a ring again.
 */
static void release_mine(void *used)
{
    struct hypertrace_producer *producer = (struct hypertrace_producer *)used;

    hypertrace_lock();
    if (channel != NULL && hypertrace_mine.producer == producer &&
        __atomic_load_n(producer->serial, __ATOMIC_RELAXED) == hypertrace_mine.serial) {
        release(producer);
    }
    hypertrace_unlock();
}

static void create_key(void)
{
    has_key = pthread_key_create(&key, release_mine) == 0;
}

/*
 * Called when this object is unloaded. Without this, threads that exit later would call the key's
 * destructor, whose code is gone.
 */
__attribute__((destructor))
static void delete_key(void)
{
    if (has_key) {
        pthread_key_delete(key);
        has_key = false;
    }
}

/* Start and stop, with the library's lock held */

/* Makes sure that @memory has at least @size bytes. @old_size: its size so far. */
static bool enlarge(void **memory, size_t *old_size, size_t size)
{
    void *larger;

    if (size > *old_size) {
        larger = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (larger == MAP_FAILED) {
            return false;
        }
        *memory = larger;
        *old_size = size;
    }
    return true;
}

static bool make_tables(void)
{
    const size_t count = channel->rings.count;
    void *table = process;
    void *rings = producers;
    bool made = enlarge(&table, &process_size, sizeof *process + count * sizeof process->serials[0]) &&
                enlarge(&rings, &producers_size, count * sizeof *producers);

    process = (struct process *)table;
    producers = (struct hypertrace_producer *)rings;
    if (made) {
        /*
         * If this fails (before Linux 4.14), hypertrace_rings_forked() clears the table. It is not
         * called if the program makes the fork system call itself.
         */
        (void)madvise(process, process_size, MADV_WIPEONFORK);
    }
    return made;
}

static bool make_chunks(void)
{
    size_t size = count_chunks() * sizeof *chunks;

    chunks = (unsigned char **)mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunks == MAP_FAILED) {
        return false;
    }
    if (map_chunk(0) == NULL) {
        munmap(chunks, size);
        return false;
    }
    return true;
}

#if defined(__i386__) || defined(__x86_64__)

/* Whether this program may read its counter: prctl(PR_SET_TSC) can forbid it. */
static bool reads_hosts_counter(const struct hypertrace_ring_fields *rings)
{
    int setting = PR_TSC_ENABLE;

    (void)rings;
#ifdef PR_GET_TSC
    if (prctl(PR_GET_TSC, &setting, 0, 0, 0) != 0) {
        return true;
    }
#endif
    return setting == PR_TSC_ENABLE;
}

#else

/*
 * Whether this program's counter is the host's, which the header relates to
 * CLOCK_MONOTONIC_RAW. An emulator on a host of the same architecture may give
 * its programs another counter.
 */
static bool reads_hosts_counter(const struct hypertrace_ring_fields *rings)
{
    const uint64_t second = 1000000000;
    uint64_t elapsed = hypertrace_read_clock() - rings->counter_time;
    uint64_t ticks = hypertrace_read_counter() - rings->counter;
    uint64_t expected;
    uint64_t error;

    if (rings->counter_rate == 0 || rings->counter_rate > UINT64_MAX / second || elapsed > INT64_MAX) {
        return false;
    }
    expected = elapsed / second * rings->counter_rate + elapsed % second * rings->counter_rate / second;
    error = ticks > expected ? ticks - expected : expected - ticks;
    /* The clock is read first, so the program may have been interrupted before it reads the counter. */
    return error <= expected / 16 + rings->counter_rate;
}

#endif

bool hypertrace_rings_start(const struct hypertrace_channel *opened)
{
    bool native = hypertrace_is_native(opened->rings.machine) && reads_hosts_counter(&opened->rings);

    if (opened->rings.mode != RINGS_FOR_ALL && !(opened->rings.mode == RINGS_FOR_NATIVE_PROGRAMS && native)) {
        return false;
    }
    channel = opened;
    if (pthread_once(&key_once, create_key) != 0 || !make_tables() || !make_chunks()) {
        channel = NULL;
        return false;
    }
    hypertrace_rings_in_use.num_args = (uint32_t)opened->num_args;
    hypertrace_rings_in_use.overflow = opened->rings.overflow;
    hypertrace_rings_in_use.exchange =
        opened->in_machine ? (const uint32_t *)(const void *)(opened->memory + HYPERTRACE_EXCHANGE) : NULL;
    hypertrace_rings_in_use.clock = native ? HYPERTRACE_COUNTER : HYPERTRACE_CLOCK_MONOTONIC_RAW;
    populate_slots();
    process->epoch = 0;
    /* Claim a ring now, because a seccomp filter may forbid the necessary system calls later. */
    (void)claim_undisturbed(false);
    __atomic_store_n(&qemu_hypertrace_emit_, hypertrace_emit_function(), __ATOMIC_RELEASE);
    return true;
}

void hypertrace_rings_stop(void)
{
    if (channel == NULL) {
        return;
    }
    __atomic_store_n(&qemu_hypertrace_target_, qemu_hypertrace_control_, __ATOMIC_RELEASE);
    __atomic_store_n(&qemu_hypertrace_emit_, NULL, __ATOMIC_RELEASE);
    for (uint32_t ring = 0; ring < channel->rings.count; ring++) {
        if (process->serials[ring] != 0) {
            release(&producers[ring]);
        }
    }
    for (uint32_t chunk = 0; chunk < count_chunks(); chunk++) {
        if (chunks[chunk] != NULL) {
            munmap(chunks[chunk], chunk_bytes(chunk));
        }
    }
    munmap(chunks, count_chunks() * sizeof *chunks);
    channel = NULL;
}

/* Called in the child of fork(). If the kernel has not cleared the table, it still contains the parent's state. */
void hypertrace_rings_forked(void)
{
    if (process != NULL && process->epoch != 0) {
        memset(process, 0, process_size);
    }
}

#else

bool hypertrace_rings_start(const struct hypertrace_channel *opened)
{
    (void)opened;
    return false;
}

void hypertrace_rings_expect_events(void)
{
}

void hypertrace_rings_stop(void)
{
}

void hypertrace_rings_forked(void)
{
}

#endif /* HYPERTRACE_HAS_RINGS */
