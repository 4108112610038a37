// poll, ppoll, select, pselect and epoll_pwait: interrupted by a handler in spite of SA_RESTART, with their masks.
#include "subject.h"
#include <sys/epoll.h>
#include <sys/select.h>

static int handled;

static void handler(int number)
{
    (void)number;
    handled++;
    mark();
}

static sigset_t none;
static struct timespec long_time = {20, 0};

static int by_poll(void)
{
    return poll(NULL, 0, 20000);
}

static int by_ppoll(void)
{
    return ppoll(NULL, 0, &long_time, &none);
}

static int by_select(void)
{
    struct timeval time = {20, 0};
    return select(0, NULL, NULL, NULL, &time);
}

static int by_pselect(void)
{
    return pselect(0, NULL, NULL, NULL, &long_time, &none);
}

static int by_epoll(void)
{
    struct epoll_event event;
    return epoll_pwait(MUST(epoll_create1(0)), &event, 1, 20000, &none);
}

static void try_wait(const char *name, int (*wait_so)(void), long call, int masked)
{
    pid_t child = MUST(fork());
    if (child == 0) {
        on_signal(SIGUSR1, handler, SA_RESTART);
        if (masked)
            mask(SIG_BLOCK, SIGUSR1);
        int result = wait_so();
        say("%s %d %s, handled %d", name, result, strerror(errno), handled);
        if (masked)
            raise(SIGUSR1);
        say("handled %d", handled);
        _exit(0);
    }
    await_blocked(child, call);
    kill(child, SIGUSR1);
    say("%s", reaped(child));
}

int main(void)
{
    sigemptyset(&none);
    try_wait("poll", by_poll, SYS_poll, 0);
    try_wait("ppoll", by_ppoll, SYS_ppoll, 1);
    try_wait("select", by_select, SYS_pselect6, 0);
    try_wait("pselect", by_pselect, SYS_pselect6, 1);
    try_wait("epoll_pwait", by_epoll, SYS_epoll_pwait, 1);
    return 0;
}
