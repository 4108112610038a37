/* Calls that a signal interrupts: restarted by the kernel, by restart_syscall, and not at all. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int ends[2];

static void handler(int number) {
    char byte = (char)number;
    if (write(ends[1], &byte, 1) != 1) {
        _exit(1);
    }
}

static void alarm_soon(int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    struct itimerval soon = {.it_value = {.tv_usec = 60000}};
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &soon, NULL);
}

static int interrupted_read(int flags) {
    char byte = 0;
    alarm_soon(flags);
    return read(ends[0], &byte, 1) == 1 ? byte : -errno;
}

/* A stop and a continuation interrupt the sleep, and the kernel goes on with what is left of it. */
static int stopped_sleep(void) {
    struct timespec while_stopped = {.tv_nsec = 30000000}, long_enough = {.tv_nsec = 300000000};
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        nanosleep(&while_stopped, NULL);
        kill(parent, SIGSTOP);
        nanosleep(&while_stopped, NULL);
        kill(parent, SIGCONT);
        _exit(0);
    }
    int result = nanosleep(&long_enough, NULL);
    return waitpid(child, NULL, 0) == child ? result : -1;
}

int main(void) {
    if (pipe(ends) != 0) {
        return 1;
    }
    printf("%d\n", interrupted_read(SA_RESTART));
    printf("%d\n", interrupted_read(0));
    printf("%d\n", stopped_sleep());
    return 0;
}
