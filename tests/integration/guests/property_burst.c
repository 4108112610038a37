/*
 * Emits as fast as it can, and prints what it has emitted.
 *
 *     property_burst EVENTS THREADS [PAUSE_EVERY [NANOSECONDS]]
 *
 * Each of THREADS threads emits EVENTS events: their number in the thread, the thread's number, and a function of both.
 * Prints for each thread "TID NUMBER EVENTS".
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

/* Like random numbers, so that they cannot be compressed. */
static uint64_t mixed(uint64_t event)
{
    uint64_t word = event * UINT64_C(0x9e3779b97f4a7c15);
    return (word ^ word >> 32) * UINT64_C(0x9e3779b97f4a7c15);
}

static uint64_t events, pause_every, nanoseconds;
static long tids[64];

static void *run(void *argument)
{
    uint64_t number = (uintptr_t)argument;
    uint64_t *data = qemu_hypertrace_data(number);
    tids[number] = syscall(SYS_gettid);
    for (uint64_t event = 0; event < events; event++) {
        data[0] = event;
        data[1] = number;
        data[2] = mixed(event) ^ number;
        data[3] = ~event;
        qemu_hypertrace(number);
        if (pause_every != 0 && event % pause_every == pause_every - 1) {
            struct timespec time = {.tv_nsec = (long)nanoseconds};
            nanosleep(&time, NULL);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    if (argc < 3 || qemu_hypertrace_init(NULL) != 0)
        return 2;
    events = strtoull(argv[1], NULL, 0);
    unsigned count = (unsigned)atoi(argv[2]);
    pause_every = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
    nanoseconds = argc > 4 ? strtoull(argv[4], NULL, 0) : 1000000;
    for (unsigned number = 1; number < count; number++)
        if (pthread_create(&threads[number], NULL, run, (void *)(uintptr_t)number) != 0)
            return 3;
    run(NULL);
    for (unsigned number = 1; number < count; number++)
        pthread_join(threads[number], NULL);
    for (unsigned number = 0; number < count; number++)
        printf("%ld %u %llu\n", tids[number], number, (unsigned long long)events);
    return 0;
}
