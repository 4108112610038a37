/* Traps often, and queries its processors in between, also from a new thread and a new process. The result is always
 * the same. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

static cpu_set_t at_start;

static int differs(void)
{
    cpu_set_t now;
    sched_getaffinity(0, sizeof now, &now);
    return !CPU_EQUAL(&now, &at_start);
}

static void *asks(void *wrong)
{
    *(int *)wrong += differs();
    return NULL;
}

int main(void)
{
    int wrong = 0, status;
    sched_getaffinity(0, sizeof at_start, &at_start);
    if (qemu_hypertrace_init(NULL) != 0)
        return 1;
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 400; i++)
            qemu_hypertrace(0);
        pthread_t thread;
        if (pthread_create(&thread, NULL, asks, &wrong) != 0 || pthread_join(thread, NULL) != 0)
            return 1;
        for (int i = 0; i < 400; i++)
            qemu_hypertrace(0);
        pid_t child = fork();
        if (child == 0)
            _exit(differs());
        if (waitpid(child, &status, 0) != child)
            return 1;
        wrong += status != 0;
        for (int i = 0; i < 400; i++)
            qemu_hypertrace(0);
        wrong += differs();
    }
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int processor = 0;; processor++)
        if (CPU_ISSET(processor, &at_start)) {
            CPU_SET(processor, &one);
            break;
        }
    sched_setaffinity(0, sizeof one, &one);
    at_start = one;
    for (int i = 0; i < 400; i++)
        qemu_hypertrace(0);
    wrong += differs();
    printf("%d\n", wrong);
    return 0;
}
