/* Calls that a signal interrupts: they are restarted by the kernel, restarted by restart_syscall, or not restarted. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "await_call.h"

static int ends[2];

static void handler(int number) {
    char byte = (char)number;
    if (write(ends[1], &byte, 1) != 1) {
        _exit(1);
    }
}

static int interrupted_read(int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    char byte = 0;
    sigaction(SIGUSR1, &action, NULL);
    return read(ends[0], &byte, 1) == 1 ? byte : errno == EINTR ? 0 : 100;
}

static int restarted_read(void) {
    return interrupted_read(SA_RESTART);
}

static int ended_read(void) {
    return interrupted_read(0);
}

/* The parent stops and continues the process, and the kernel continues with the remaining time of the sleep. */
static int stopped_sleep(void) {
    struct timespec long_enough = {.tv_sec = 2};
    /* The call that the C library would make depends on its version. */
    return syscall(SYS_nanosleep, &long_enough, NULL) == 0 ? 0 : 100;
}

/* The exit status of a child that does @body and gets the signal @number once it waits in the system call. */
static int told(int (*body)(void), long call, int number) {
    char name[16];
    int status;
    pid_t child = fork();
    if (child == 0) {
        _exit(body());
    }
    snprintf(name, sizeof name, "%d", child);
    await_call(name, call);
    kill(child, number);
    if (number == SIGSTOP) {
        waitpid(child, &status, WUNTRACED);
        kill(child, SIGCONT);
    }
    return waitpid(child, &status, 0) == child ? WEXITSTATUS(status) : -1;
}

int main(void) {
    /* SIGCHLD of a child that stops or continues would interrupt waitpid(), or arrive just before it. */
    struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP};
    if (pipe(ends) != 0 || sigaction(SIGCHLD, &action, NULL) != 0) {
        return 1;
    }
    printf("%d\n", told(restarted_read, SYS_read, SIGUSR1));
    printf("%d\n", told(ended_read, SYS_read, SIGUSR1));
    printf("%d\n", told(stopped_sleep, SYS_nanosleep, SIGSTOP));
    return 0;
}
