/* Threads that start and exit, and a thread that executes another program, after which it is the only thread of the
 * process. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "await_call.h"

static char *program;

static void *works(void *number) {
    syscall(SYS_getppid);
    for (long i = 0; i < (long)number; i++) {
        dup(-1);
    }
    return NULL;
}

static void *replaces(void *unused) {
    char *const arguments[] = {program, "again", NULL};
    /* The first thread must be killed within a call: the call with which it waits for this thread. */
    await_call("self", SYS_futex);
    execv(program, arguments);
    return unused;
}

static void run(void *(*function)(void *), long number) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, function, (void *)number) != 0 || pthread_join(thread, NULL) != 0) {
        exit(1);
    }
}

int main(int argc, char **argv) {
    if (argc > 1) {
        puts("replaced");
        return 0;
    }
    program = argv[0];
    for (long number = 1; number <= 3; number++) {
        run(works, number);
    }
    run(replaces, 0);
    return 1;
}
