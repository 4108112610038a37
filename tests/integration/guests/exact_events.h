/* Events that a test can check one by one. They contain the emitter, the number of the event, the process, and a
 * checksum. */
#ifndef EXACT_EVENTS_H
#define EXACT_EVENTS_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

static inline void check(int good, const char *what)
{
    if (!good) {
        dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(errno));
        _exit(99);
    }
}

static inline void start_events(void)
{
    check(qemu_hypertrace_init(NULL) == 0, "qemu_hypertrace_init");
}

/* `slot`: a slot that only the caller uses. `who`: a number that identifies the emitter in all its events. */
static inline void emit_in(uint64_t slot, uint64_t who, uint64_t number)
{
    uint64_t *data = qemu_hypertrace_data(slot);
    data[0] = who;
    data[1] = number;
    data[2] = (uint64_t)getpid();
    data[3] = (who << 32 ^ number) * UINT64_C(0x9e3779b97f4a7c15);
    qemu_hypertrace(slot);
}

static inline void emit_run(uint64_t who, uint64_t count)
{
    uint64_t slot = qemu_hypertrace_client();
    for (uint64_t number = 0; number < count; number++)
        emit_in(slot, who, number);
}

/* The first process of the run exits here. A child of it continues after it has seen the exit. */
static inline void outlive_the_first(void)
{
    int gate[2];
    check(pipe(gate) == 0, "pipe");
    pid_t child = fork();
    check(child >= 0, "fork");
    if (child != 0)
        exit(0);
    char byte;
    close(gate[1]);
    check(read(gate[0], &byte, 1) == 0, "read");
}

static inline void reap(pid_t child)
{
    int status = -1;
    check(waitpid(child, &status, 0) == child && status == 0, "a child failed");
}

#endif
