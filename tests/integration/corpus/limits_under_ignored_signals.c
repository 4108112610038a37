// A wait with a time limit ends at the limit and not earlier, although ignored signals arrive during the wait.
// build: m32
#include "waits_with_limits.h"

enum { LIMIT = 80, MANY = 40 };

/* The same call with the same arguments, after a call that an event has ended. It has a separate time limit. */
static void wait_once_more(void)
{
    int ends[2];
    char byte;
    struct epoll_event event = {.events = EPOLLIN};
    MUST(pipe(ends));
    int set = MUST(epoll_create1(0));
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event));
    pid_t child = MUST(fork());
    if (child == 0) {
        usleep(1000 * LIMIT / 2);
        post(ends[1]);
        _exit(0);
    }
    int64_t start = 0;
    for (int ready = 1; ready == 1;) {
        start = now_ms();
        ready = epoll_wait(set, &event, 1, 5 * LIMIT);
        if (ready == 1)
            MUST(read(ends[0], &byte, 1));
        else
            say("then %d, %s", ready, now_ms() - start < 5 * LIMIT - 20 ? "too early" : "in time");
    }
    say("%s", reaped(child));
}

int main(void)
{
    struct itimerval often = {{0, 10000}, {0, 10000}};
    on_signal(SIGALRM, SIG_IGN, 0);
    mask(SIG_BLOCK, SIGUSR1);
    MUST(setitimer(ITIMER_REAL, &often, NULL));
    for (size_t i = 0; i < sizeof limited / sizeof *limited; i++)
        for (int round = 0; round < 2; round++) {
            int64_t start = now_ms();
            long result = limited[i].wait_for(LIMIT);
            int64_t took = now_ms() - start;
            /* The kernel counts in ticks, so some waits are a millisecond too short. */
            say("%s: %ld, %s", limited[i].name, result,
                took < LIMIT - 20 ? "too early" : took > MANY * LIMIT ? "much too late" : "in time");
        }
    wait_once_more();
    return 0;
}
