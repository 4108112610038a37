// nanosleep and clock_nanosleep: a handler gives EINTR and the time left, an ignored signal does not disturb.
// build: static
#include "subject.h"

static void handler(int number)
{
    (void)number;
    mark();
}

static int awake[2];

static void parent_sends(pid_t child, int number)
{
    await_blocked(child, syscall_clock_nanosleep());
    MUST(kill(child, number));
}

int main(void)
{
    on_signal(SIGUSR1, handler, SA_RESTART);
    on_signal(SIGUSR2, SIG_IGN, 0);
    struct timespec long_time = {20, 0}, short_time = {1, 500000000}, left = {0, 0};
    MUST(pipe(awake));
    pid_t child = MUST(fork());
    if (child == 0) {
        int result = nanosleep(&long_time, &left);
        say("nanosleep %d %s, left between 0 and 20: %d", result, strerror(errno), left.tv_sec > 0 && left.tv_sec <= 20);
        post(awake[1]);
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += 20;
        result = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        say("clock_nanosleep %s", strerror(result));
        post(awake[1]);
        int64_t start = now_ms();
        result = nanosleep(&short_time, &left);
        say("undisturbed %d, long enough %d", result, now_ms() - start >= 1500);
        _exit(0);
    }
    parent_sends(child, SIGUSR1);
    await_post(awake[0]);
    parent_sends(child, SIGUSR1);
    await_post(awake[0]);
    parent_sends(child, SIGUSR2);
    say("%s", reaped(child));
    return 0;
}
