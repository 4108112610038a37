/*
 * Emits events of many kinds from four threads of three processes, and prints the ids of the threads. round_trip EVENTS
 * Each thread emits EVENTS / 4 events. The arguments of its event N are the id of a named event, two of the unusual
 * words below, and N combined with the thread's number. Prints for each thread "THREAD PID TID".
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

static const uint64_t ids[] = {1, 2, 3, UINT64_MAX, 5, 0};
/* The smallest and the largest numbers, negative numbers; as floats: infinities, a NaN, 0.1, -0.0, and the smallest
 * number. */
static const uint64_t words[] = {
    0, 1, UINT64_C(1) << 31, (UINT64_C(1) << 53) + 1, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX,
    0x7ff0000000000000, 0xfff0000000000000, 0x7ff8000000000000, 0x3fb999999999999a, 0x8000000000000001, UINT64_MAX - 41,
};
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint64_t events;

static void *run(void *argument)
{
    uint64_t thread = (uintptr_t)argument;
    uint64_t *data = qemu_hypertrace_data(thread);
    printf("%d %d %ld\n", (int)thread, (int)getpid(), syscall(SYS_gettid));
    fflush(stdout);
    for (uint64_t event = 0; event < events / 4; event++) {
        data[0] = ids[event % COUNT(ids)];
        data[1] = words[event / COUNT(ids) % COUNT(words)];
        data[2] = words[event / COUNT(ids) / COUNT(words) % COUNT(words)];
        data[3] = event * UINT64_C(0x9e3779b97f4a7c15) + thread;
        qemu_hypertrace(thread);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t other;
    if (argc != 2 || qemu_hypertrace_init(NULL) != 0)
        return 2;
    events = strtoull(argv[1], NULL, 0);
    for (uintptr_t thread = 2; thread < 4; thread++) {
        pid_t child = fork();
        if (child < 0)
            return 3;
        if (child == 0) {
            run((void *)thread);
            return 0;
        }
    }
    if (pthread_create(&other, NULL, run, (void *)1) != 0)
        return 4;
    run((void *)0);
    pthread_join(other, NULL);
    for (int child = 0; child < 2; child++) {
        int status;
        if (wait(&status) < 0 || status != 0)
            return 5;
    }
    return 0;
}
