/* program: the events that the test expects. program THREADS COUNT: as many spans and counters. */
#include "events.h"

#include <pthread.h>
#include <stdlib.h>

enum { MOST_THREADS = 64 };

struct work {
    uint64_t number;
    uint64_t count;
};

static void *emit(void *argument)
{
    const struct work *work = argument;
    uint64_t index = qemu_hypertrace_client();

    for (uint64_t i = 0; i < work->count / 2; i++) {
        trace_job_begin(index, work->number << 32 | i, 0.5, true);
        trace_job_end(index, work->number << 32 | i, (int64_t)i);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    int opened = qemu_hypertrace_init(NULL) == 0;

    if (argc > 2) {
        uint64_t count = strtoull(argv[1], NULL, 10);
        struct work works[MOST_THREADS];
        pthread_t threads[MOST_THREADS];

        for (uint64_t i = 0; i < count; i++) {
            works[i].number = i;
            works[i].count = strtoull(argv[2], NULL, 10);
            if (pthread_create(&threads[i], NULL, emit, &works[i]) != 0) {
                return 1;
            }
        }
        for (uint64_t i = 0; i < count; i++) {
            pthread_join(threads[i], NULL);
        }
        return 0;
    }
    uint64_t index = qemu_hypertrace_client();
    trace_request(index, 4096, 0x10, trace_request_kind_WRITE);
    trace_job_begin(index, 7, 0.25, true);
    trace_queue_depth(index, -3);
    trace_job_end(index, 7, -1);
    trace_done______(index);
    return opened ? 0 : 3;
}
