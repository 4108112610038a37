/* A process is stopped and continued while it waits for events: its wait is interrupted. */
#include "await_call.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    char name[32];
    pid_t child;
    int status;

    child = fork();
    if (child == 0) {
        struct epoll_event event;
        int result = epoll_wait(epoll_create1(0), &event, 1, 100000);

        printf("epoll_wait: %d, %s\n", result, strerror(errno));
        return 0;
    }
    snprintf(name, sizeof name, "%d", child);
    await_call(name, SYS_epoll_wait);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    printf("stopped: %d\n", WIFSTOPPED(status));
    fflush(stdout);
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    return 0;
}
