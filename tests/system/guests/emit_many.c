/*
 * emit_many COUNT THREADS [CHANNEL]: each thread emits COUNT events on a
 * processor of its own: index = thread, arguments = number, ~number, thread,
 * the processor's number. Prints what it has done.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <qemu-hypertrace.h>

static unsigned long count;
static pthread_barrier_t start;

static void *emit(void *argument)
{
    unsigned long thread = (unsigned long)argument;
    uint64_t *data = qemu_hypertrace_data(thread);
    cpu_set_t processor;

    CPU_ZERO(&processor);
    CPU_SET(thread, &processor);
    if (sched_setaffinity(0, sizeof processor, &processor) != 0) {
        printf("thread %lu: no processor of its own: %s\n", thread, strerror(errno));
    }
    pthread_barrier_wait(&start);
    data[2] = thread;
    data[3] = (uint64_t)sched_getcpu();
    for (unsigned long number = 0; number < count; number++) {
        data[0] = number;
        data[1] = ~number;
        qemu_hypertrace(thread);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    unsigned long threads = argc > 2 ? strtoul(argv[2], NULL, 0) : 1;
    pthread_t ids[16];

    count = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
    if (qemu_hypertrace_init(argc > 3 ? argv[3] : NULL) != 0) {
        printf("init: %s\n", strerror(errno));
        return 1;
    }
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    for (unsigned long thread = 0; thread < threads; thread++) {
        pthread_create(&ids[thread], NULL, emit, (void *)thread);
    }
    for (unsigned long thread = 0; thread < threads; thread++) {
        pthread_join(ids[thread], NULL);
    }
    printf("%lu threads emitted %lu events each\n", threads, count);
    return 0;
}
