/*
 * Included before a corpus program with -include. The program then emits one event when it starts, one when it calls
 * exit(), and one at each mark(). So the channel is mapped and stores trap while the program exercises its subject. The
 * number of emitted events is in the file named by SUBJECT_EVENTS, which is mapped shared. So the count survives fork,
 * exec and SIGKILL, needs no descriptor and no system call, and can be incremented in a signal handler.
 */
#ifndef EMISSION_H
#define EMISSION_H

#define SUBJECT_EMITS 1
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

static uint64_t *subject_events;

static inline void mark(void)
{
    if (subject_events == NULL)
        return;
    uint64_t *data = qemu_hypertrace_data(0);
    data[0] = 0xc0a9005;
    qemu_hypertrace(0);
    __atomic_fetch_add(subject_events, 1, __ATOMIC_SEQ_CST);
}

__attribute__((constructor)) static void subject_starts(void)
{
    const char *path = getenv("SUBJECT_EVENTS");
    if (path == NULL)
        return;
    if (qemu_hypertrace_init(NULL) != 0) {
        if (getenv("HYPERTRACE") == NULL)
            return;
        perror("emission.h: qemu_hypertrace_init");
        _exit(93);
    }
    int file = open(path, O_RDWR | O_CLOEXEC);
    if (file == -1)
        _exit(95);
    void *where = mmap(NULL, sizeof *subject_events, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (where == MAP_FAILED)
        _exit(94);
    subject_events = (uint64_t *)where;
    mark();
}

__attribute__((destructor)) static void subject_ends(void)
{
    mark();
}

#endif
