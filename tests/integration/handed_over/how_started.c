/* Prints the state in which it is started: environment, signals, and the resource usage so far. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

extern char **environ;

static void tell_signals(void)
{
    sigset_t blocked, pending;

    sigprocmask(SIG_BLOCK, NULL, &blocked);
    sigpending(&pending);
    for (int number = 1; number < NSIG; number++) {
        struct sigaction action;

        if (sigaction(number, NULL, &action) == 0 && action.sa_handler == SIG_IGN) {
            printf("ignored %d\n", number);
        }
        if (sigismember(&blocked, number) == 1) {
            printf("blocked %d\n", number);
        }
        if (sigismember(&pending, number) == 1) {
            printf("pending %d\n", number);
        }
    }
}

int main(void)
{
    struct rusage children;

    tell_signals();
    for (char **each = environ; *each != NULL; each++) {
        if (strncmp(*each, "HYPERTRACE=", 11) != 0) {
            printf("[%s]\n", *each);
        }
    }
    getrusage(RUSAGE_CHILDREN, &children);
    /* A program that starts a tracer for it takes only microseconds. */
    printf("children: %ld KiB, %ld ms\n", children.ru_maxrss,
           children.ru_utime.tv_sec * 1000L + children.ru_utime.tv_usec / 1000);
    return 0;
}
