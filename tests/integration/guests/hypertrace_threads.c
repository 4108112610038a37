/*
 * Emits COUNT events in each of THREADS threads, which use different slots. For each thread, prints its id and the sum
 * of the second arguments.
 */

#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

static int count;

static void *emit(void *number)
{
    uint64_t index = (uintptr_t)number;
    uint64_t *data = qemu_hypertrace_data(index);
    uint64_t sum = 0;
    int i;

    for (i = 0; i < count; i++) {
        data[0] = index;
        data[1] = (uint64_t)i * 3;
        data[2] = UINT64_MAX - (uint64_t)i;
        data[3] = 0;
        qemu_hypertrace(index);
        sum += data[1];
    }
    printf("%d %" PRIu64 "\n", gettid(), sum);
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    int number, of = argc > 1 ? atoi(argv[1]) : 1;

    count = argc > 2 ? atoi(argv[2]) : 1;
    if (of > 64 || qemu_hypertrace_init(NULL) != 0) {
        return 1;
    }
    for (number = 0; number < of; number++) {
        if (pthread_create(&threads[number], NULL, emit, (void *)(uintptr_t)number) != 0) {
            return 1;
        }
    }
    for (number = 0; number < of; number++) {
        pthread_join(threads[number], NULL);
    }
    return 0;
}
