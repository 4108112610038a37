// timerfd: a repeating timer counts expirations and wakes epoll.
#include "subject.h"
#include <sys/epoll.h>
#include <sys/timerfd.h>

int main(void)
{
    int timer = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
    int set = MUST(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event interest = {.events = EPOLLIN};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, timer, &interest));
    uint64_t expirations, total = 0;
    ssize_t got = read(timer, &expirations, sizeof expirations);
    say("not yet: %zd %s", got, strerror(errno));
    struct itimerspec often = {{0, 2000000}, {0, 2000000}};
    MUST(timerfd_settime(timer, 0, &often, NULL));
    while (total < 10) {
        struct epoll_event event;
        if (epoll_wait(set, &event, 1, -1) != 1)
            return 1;
        MUST(read(timer, &expirations, sizeof expirations));
        total += expirations;
        mark();
    }
    say("ten expirations");
    return 0;
}
