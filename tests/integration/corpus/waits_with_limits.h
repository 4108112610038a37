/* Waits with a time limit in ms, of each kind that the kernel handles differently. They return the result, or minus
 * errno. */
#ifndef WAITS_WITH_LIMITS_H
#define WAITS_WITH_LIMITS_H

#include "subject.h"
#include <linux/futex.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>

static long outcome(long result)
{
    return result == -1 ? -errno : result;
}

static struct timespec of_ms(int ms)
{
    return (struct timespec){ms / 1000, ms % 1000 * 1000000L};
}

static int quiet_pipe(void)
{
    int ends[2];
    MUST(pipe(ends));
    return ends[0];
}

static int quiet_epoll(void)
{
    int set = MUST(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, quiet_pipe(), &event));
    return set;
}

static long in_epoll_wait(int ms)
{
    struct epoll_event event;
    return outcome(epoll_wait(quiet_epoll(), &event, 1, ms));
}

static long in_epoll_pwait(int ms)
{
    sigset_t none;
    sigemptyset(&none);
    struct epoll_event event;
    return outcome(epoll_pwait(quiet_epoll(), &event, 1, ms, &none));
}

static long in_epoll_pwait2(int ms)
{
    long long limit[2] = {ms / 1000, ms % 1000 * 1000000LL};
    struct epoll_event event;
    return outcome(syscall(441, quiet_epoll(), &event, 1, limit, NULL, 0));
}

static long in_sigtimedwait(int ms)
{
    sigset_t set = set_of(SIGUSR1);
    struct timespec limit = of_ms(ms);
    return outcome(sigtimedwait(&set, NULL, &limit));
}

static long in_semtimedop(int ms)
{
    int semaphore = MUST(semget(IPC_PRIVATE, 1, 0600));
    struct sembuf down = {0, -1, 0};
    struct timespec limit = of_ms(ms);
    long result = outcome(semtimedop(semaphore, &down, 1, &limit));
    MUST(semctl(semaphore, 0, IPC_RMID));
    return result;
}

static long in_io_getevents(int ms)
{
    unsigned long context = 0;
    char event[32];
    struct timespec limit = of_ms(ms);
    MUST(syscall(SYS_io_setup, 1, &context));
    long result = outcome(syscall(SYS_io_getevents, context, 1L, 1L, event, &limit));
    MUST(syscall(SYS_io_destroy, context));
    return result;
}

static void limit_socket(int socket, int option, int ms)
{
    struct timeval limit = {ms / 1000, ms % 1000 * 1000};
    MUST(setsockopt(socket, SOL_SOCKET, option, &limit, sizeof limit));
}

static long in_recv(int ms)
{
    int ends[2];
    char byte;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    limit_socket(ends[0], SO_RCVTIMEO, ms);
    return outcome(recv(ends[0], &byte, 1, 0));
}

static long in_read_of_socket(int ms)
{
    int ends[2];
    char byte;
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, ends));
    limit_socket(ends[0], SO_RCVTIMEO, ms);
    return outcome(read(ends[0], &byte, 1));
}

static long in_accept(int ms)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int server = MUST(socket(AF_INET, SOCK_STREAM, 0));
    MUST(bind(server, (struct sockaddr *)&address, sizeof address));
    MUST(listen(server, 1));
    limit_socket(server, SO_RCVTIMEO, ms);
    return outcome(accept(server, NULL, NULL));
}

static long in_send(int ms)
{
    static char much[1 << 16];
    int ends[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    while (send(ends[0], much, sizeof much, MSG_DONTWAIT) > 0)
        ;
    limit_socket(ends[0], SO_SNDTIMEO, ms);
    return outcome(send(ends[0], much, sizeof much, 0));
}

static long in_poll(int ms)
{
    struct pollfd wanted = {.fd = quiet_pipe(), .events = POLLIN};
    return outcome(poll(&wanted, 1, ms));
}

static long in_ppoll(int ms)
{
    struct pollfd wanted = {.fd = quiet_pipe(), .events = POLLIN};
    struct timespec limit = of_ms(ms);
    return outcome(ppoll(&wanted, 1, &limit, NULL));
}

static long in_select(int ms)
{
    fd_set wanted;
    int input = quiet_pipe();
    struct timeval limit = {ms / 1000, ms % 1000 * 1000};
    FD_ZERO(&wanted);
    FD_SET(input, &wanted);
    return outcome(select(input + 1, &wanted, NULL, NULL, &limit));
}

static long in_nanosleep(int ms)
{
    struct timespec limit = of_ms(ms);
    return outcome(nanosleep(&limit, NULL));
}

static long in_futex(int ms)
{
    int word = 0;
    struct timespec limit = of_ms(ms);
    return outcome(syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &limit, NULL, 0));
}

static const struct limited {
    const char *name;
    long (*wait_for)(int ms);
} limited[] = {
    {"epoll_wait", in_epoll_wait},
    {"epoll_pwait", in_epoll_pwait},
    {"epoll_pwait2", in_epoll_pwait2},
    {"sigtimedwait", in_sigtimedwait},
    {"semtimedop", in_semtimedop},
    {"io_getevents", in_io_getevents},
    {"recv", in_recv},
    {"read of a socket", in_read_of_socket},
    {"accept", in_accept},
    {"send", in_send},
    {"poll", in_poll},
    {"ppoll", in_ppoll},
    {"select", in_select},
    {"nanosleep", in_nanosleep},
    {"futex", in_futex},
};

#endif
