/* Waits with a time limit while an ignored signal arrives repeatedly. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { TIMER_US = 10000, LIMIT_MS = 100 };

static void tell(const char *name, long result)
{
    printf("%s: %ld, %s\n", name, result, result < 0 ? strerror(errno) : "no error");
}

int main(void)
{
    struct itimerval every = {{0, TIMER_US}, {0, TIMER_US}};
    struct timespec limit = {0, LIMIT_MS * 1000000L};
    struct timeval receive = {0, LIMIT_MS * 1000L};
    struct sembuf down = {0, -1, 0};
    struct epoll_event event;
    sigset_t awaited;
    int ends[2], semaphore = semget(IPC_PRIVATE, 1, 0600);
    char byte;

    signal(SIGALRM, SIG_IGN);
    setitimer(ITIMER_REAL, &every, NULL);
    tell("epoll_wait", epoll_wait(epoll_create1(0), &event, 1, LIMIT_MS));
    tell("semtimedop", semtimedop(semaphore, &down, 1, &limit));
    semctl(semaphore, 0, IPC_RMID);
    sigemptyset(&awaited);
    sigaddset(&awaited, SIGUSR1);
    sigprocmask(SIG_BLOCK, &awaited, NULL);
    tell("sigtimedwait", sigtimedwait(&awaited, NULL, &limit));
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) == 0) {
        setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &receive, sizeof receive);
        tell("recv", recv(ends[0], &byte, 1, 0));
    }
    return 0;
}
