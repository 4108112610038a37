/*
 * visit_processors COUNT: runs on each of the first COUNT processors in turn. After that, each processor has finished
 * its work with disabled preemption, such as recording an event of the kernel's trace.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 1;
    cpu_set_t processor;

    for (int number = 0; number < count; number++) {
        CPU_ZERO(&processor);
        CPU_SET(number, &processor);
        if (sched_setaffinity(0, sizeof processor, &processor) != 0) {
            printf("sched_setaffinity %d: %s\n", number, strerror(errno));
            return 1;
        }
    }
    return 0;
}
