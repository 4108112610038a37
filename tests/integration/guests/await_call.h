/* Waits until another thread waits. For guests whose system calls are compared with those that strace shows. */
#ifndef AWAIT_CALL_H
#define AWAIT_CALL_H

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

/*
 * Returns when the thread sleeps in the system call with this number, as shown in /proc. The number of attempts differs
 * from run to run, so this function uses only pread64 and sched_yield, which the comparison leaves out.
 */
static void await_call(const char *thread, long call)
{
    char path[64], text[64];
    int file;
    snprintf(path, sizeof path, "/proc/%s/syscall", thread);
    file = open(path, O_RDONLY | O_CLOEXEC);
    for (;;) {
        ssize_t length = pread(file, text, sizeof text - 1, 0);
        if (length <= 0) {
            perror(path);
            _exit(1);
        }
        text[length] = 0;
        /* "running", or a number. */
        if (text[0] != 'r' && strtol(text, NULL, 10) == call) {
            break;
        }
        sched_yield();
    }
    close(file);
}

#endif
