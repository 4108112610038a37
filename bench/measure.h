/*
 * The common part of all measured programs, so that they are measured in the same way.
 *
 * A program includes this file, defines the two functions declared below, and calls measure_main(). Events are emitted
 * in bursts with a pause between them: a burst shows the cost of an event while nothing delays the program, and the
 * pause lets a tracer write the records. A probe of the processor is timed just before and just after each burst: it
 * shows whether a burst had the core for itself. The result is one line of JSON on standard output.
 *
 * Compile with -D_GNU_SOURCE -pthread. Arguments are of the form NAME=NUMBER (see the table in parse_plan); anything else is an
 * error.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "probe.h"

#define MAX_THREADS 64

/* What to do. Every number is at least 0; `threads` is 1 to MAX_THREADS. */
struct plan {
    uint64_t events;   /* in a burst */
    uint64_t bursts;   /* that count */
    uint64_t warmup;   /* bursts before them that do not */
    uint64_t pause_us; /* after each burst */
    uint64_t singles;  /* events timed one by one, after the bursts; x86-64 only */
    uint64_t threads;
    uint64_t cpu;     /* of the first thread; thread N runs on cpu + N, wrapped to the machine's processors */
    uint64_t own_cpu; /* for a program's own use, such as the processor of a tracer */
};

struct worker {
    struct plan *plan;
    uint64_t number;    /* of the thread, from 0 */
    void *own;          /* data that emitter_open() keeps for the thread */
    double *burst_ns;   /* nanoseconds per event, for each burst that counts */
    double *probe_ns;   /* nanoseconds per turn of the slower of the two probes around it */
    uint64_t *ticks;    /* of the time stamp counter, for each single event */
    pthread_barrier_t *barrier;
};

/* The two functions of the program: get ready in the thread that will emit, and emit `count` events. */
static void emitter_open(struct worker *worker);
static void emit_events(struct worker *worker, uint64_t count);

__attribute__((noreturn, unused)) static void die(const char *what)
{
    fprintf(stderr, "error: %s: %s\n", what, strerror(errno));
    exit(1);
}

__attribute__((unused)) static void *checked(void *pointer, const char *what)
{
    if (pointer == NULL || pointer == (void *)-1)
        die(what);
    return pointer;
}

#if defined(__x86_64__) || defined(__i386__)
static inline uint64_t tick(void)
{
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

/* A time stamp that no neighbouring instruction moves across. */
static inline uint64_t fenced_tick(void)
{
    __asm__ volatile("lfence" ::: "memory");
    uint64_t now = tick();
    __asm__ volatile("lfence" ::: "memory");
    return now;
}
#endif

#ifdef MEASURE_OWN_CLOCK
/* Defined by the program if the system's clock is not reliable. */
static inline double now_ns(void);
#else
static inline double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}
#endif

__attribute__((unused)) static void pin(uint64_t cpu)
{
    cpu_set_t allowed, wanted;
    /* Only the processors that this process may use are counted, so that a container with cpus 6 and 7 works. */
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        die("sched_getaffinity");
    uint64_t nth = cpu % CPU_COUNT(&allowed);
    CPU_ZERO(&wanted);
    for (int candidate = 0; candidate < CPU_SETSIZE; candidate++) {
        if (CPU_ISSET(candidate, &allowed) && nth-- == 0) {
            CPU_SET(candidate, &wanted);
            break;
        }
    }
    if (sched_setaffinity(0, sizeof wanted, &wanted) != 0)
        die("sched_setaffinity");
}

/* Nanoseconds per turn of the probe's loop. */
static double probe(void)
{
    double before = now_ns();
    probe_turns();
    return (now_ns() - before) / PROBE_TURNS;
}

static void rest(uint64_t microseconds)
{
    struct timespec left = {microseconds / 1000000, microseconds % 1000000 * 1000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        ;
}

static void measure_singles(struct worker *worker)
{
#if defined(__x86_64__)
    for (uint64_t i = 0; i < worker->plan->singles; i++) {
        uint64_t before = fenced_tick();
        emit_events(worker, 1);
        worker->ticks[i] = fenced_tick() - before;
    }
#else
    (void)worker;
#endif
}

static void *measure_thread(void *argument)
{
    struct worker *worker = argument;
    struct plan *plan = worker->plan;
    pin(plan->cpu + worker->number);
    emitter_open(worker);
    for (uint64_t burst = 0; burst < plan->warmup + plan->bursts; burst++) {
        pthread_barrier_wait(worker->barrier);
        double probe_before = probe();
        double before = now_ns();
        emit_events(worker, plan->events);
        double after = now_ns();
        double probe_after = probe();
        if (burst >= plan->warmup) {
            worker->burst_ns[burst - plan->warmup] = (after - before) / plan->events;
            worker->probe_ns[burst - plan->warmup] = probe_before > probe_after ? probe_before : probe_after;
        }
        rest(plan->pause_us);
    }
    measure_singles(worker);
    return NULL;
}

static void parse_plan(struct plan *plan, int argc, char **argv)
{
    const struct {
        const char *name;
        uint64_t *value;
    } table[] = {
        {"events", &plan->events},     {"bursts", &plan->bursts},   {"warmup", &plan->warmup},
        {"pause_us", &plan->pause_us}, {"singles", &plan->singles}, {"threads", &plan->threads},
        {"cpu", &plan->cpu},           {"own_cpu", &plan->own_cpu},
    };
    for (int i = 1; i < argc; i++) {
        size_t length = strcspn(argv[i], "=");
        size_t entry = 0;
        while (entry < sizeof table / sizeof *table &&
               (strlen(table[entry].name) != length || strncmp(table[entry].name, argv[i], length) != 0))
            entry++;
        if (entry == sizeof table / sizeof *table || argv[i][length] != '=') {
            errno = EINVAL;
            die(argv[i]);
        }
        *table[entry].value = strtoull(argv[i] + length + 1, NULL, 10);
    }
    if (plan->threads < 1 || plan->threads > MAX_THREADS) {
        errno = EINVAL;
        die("threads");
    }
}

#if defined(__x86_64__)
static int by_size(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static double ns_per_tick(void)
{
    double from_ns = now_ns();
    uint64_t from = tick();
    rest(20000);
    return (now_ns() - from_ns) / (tick() - from);
}

/* The cost of two readings with nothing between them, which is subtracted from each single event. */
static uint64_t tick_overhead(void)
{
    uint64_t gaps[1001];
    for (int i = 0; i < 1001; i++) {
        uint64_t before = fenced_tick();
        gaps[i] = fenced_tick() - before;
    }
    qsort(gaps, 1001, sizeof *gaps, by_size);
    return gaps[500];
}
#endif

static void print_singles(struct worker *workers)
{
#if defined(__x86_64__)
    uint64_t singles = workers->plan->singles;
    if (singles == 0)
        return;
    double scale = ns_per_tick();
    uint64_t overhead = tick_overhead();
    uint64_t *ticks = workers[0].ticks;
    qsort(ticks, singles, sizeof *ticks, by_size);
    const double ranks[] = {0.5, 0.99};
    for (int i = 0; i < 2; i++) {
        uint64_t value = ticks[(uint64_t)(ranks[i] * (singles - 1))];
        printf(", \"p%.0f\": %.1f", ranks[i] * 100, value > overhead ? (value - overhead) * scale : 0.0);
    }
#else
    (void)workers;
#endif
}

__attribute__((unused)) static void measure_run(struct plan *plan)
{
    struct worker workers[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    pthread_barrier_t barrier;
    pthread_barrier_init(&barrier, NULL, plan->threads);
    for (uint64_t i = 0; i < plan->threads; i++) {
        /* calloc() of large blocks gives untouched pages; writing them once here keeps page faults out of the loop. */
        double *burst_ns = checked(malloc((plan->bursts + 1) * sizeof(double)), "malloc");
        double *probe_ns = checked(malloc((plan->bursts + 1) * sizeof(double)), "malloc");
        uint64_t *ticks = checked(malloc((plan->singles + 1) * sizeof(uint64_t)), "malloc");
        memset(burst_ns, 0, (plan->bursts + 1) * sizeof(double));
        memset(probe_ns, 0, (plan->bursts + 1) * sizeof(double));
        memset(ticks, 1, (plan->singles + 1) * sizeof(uint64_t));
        workers[i] = (struct worker){plan, i, NULL, burst_ns, probe_ns, ticks, &barrier};
    }
    for (uint64_t i = 1; i < plan->threads; i++) {
        if ((errno = pthread_create(&threads[i], NULL, measure_thread, &workers[i])) != 0)
            die("pthread_create");
    }
    measure_thread(&workers[0]);
    for (uint64_t i = 1; i < plan->threads; i++)
        pthread_join(threads[i], NULL);

    printf("{\"ns\": [");
    for (uint64_t i = 0; i < plan->threads * plan->bursts; i++)
        printf("%s%.3f", i ? ", " : "", workers[i / plan->bursts].burst_ns[i % plan->bursts]);
    printf("], \"probe\": [");
    for (uint64_t i = 0; i < plan->threads * plan->bursts; i++)
        printf("%s%.4f", i ? ", " : "", workers[i / plan->bursts].probe_ns[i % plan->bursts]);
    printf("]");
    print_singles(workers);
    printf("}\n");
}

__attribute__((unused)) static struct plan measure_plan(int argc, char **argv)
{
    struct plan plan = {.events = 100000, .bursts = 10, .warmup = 2, .threads = 1};
    parse_plan(&plan, argc, argv);
    return plan;
}

__attribute__((unused)) static int measure_main(int argc, char **argv)
{
    struct plan plan = measure_plan(argc, argv);
    measure_run(&plan);
    return 0;
}

#endif
