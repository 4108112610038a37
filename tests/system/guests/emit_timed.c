/*
 * emit_timed COUNT: emits COUNT events with index 0 that contain the time around each: arguments = number, the clock
 * before this event, the clock after the last one. Runs only on the first processor. Sleeps briefly after every tenth
 * event, so that other programs run in between.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <qemu-hypertrace.h>

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
    const struct timespec moment = {0, 1000000};
    cpu_set_t processor;
    uint64_t *data;

    CPU_ZERO(&processor);
    CPU_SET(0, &processor);
    if (sched_setaffinity(0, sizeof processor, &processor) != 0) {
        printf("sched_setaffinity: %s\n", strerror(errno));
        return 1;
    }
    if (qemu_hypertrace_init(NULL) != 0) {
        printf("init: %s\n", strerror(errno));
        return 1;
    }
    data = qemu_hypertrace_data(0);
    data[2] = now();
    for (uint64_t number = 0; number < count; number++) {
        data[0] = number;
        data[1] = now();
        qemu_hypertrace(0);
        data[2] = now();
        if (number % 10 == 9) {
            nanosleep(&moment, NULL);
        }
    }
    return 0;
}
