// timer_create with a signal, a thread and no notification; overrun counts; timers are not inherited by fork.
#include "subject.h"

static int woken[2];

static void in_thread(union sigval value)
{
    char byte = (char)value.sival_int;
    mark();
    if (write(woken[1], &byte, 1) != 1)
        _exit(3);
}

int main(void)
{
    struct itimerspec soon = {.it_value.tv_nsec = 1000000};
    MUST(pipe(woken));
    struct sigevent event = {.sigev_notify = SIGEV_THREAD};
    event.sigev_value.sival_int = 'T';
    event.sigev_notify_function = in_thread;
    timer_t timer;
    MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
    MUST(timer_settime(timer, 0, &soon, NULL));
    char byte;
    MUST(read(woken[0], &byte, 1));
    say("thread said %c", byte);
    MUST(timer_delete(timer));

    mask(SIG_BLOCK, SIGUSR1);
    struct sigevent by_signal = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    struct itimerspec often = {{0, 1000000}, {0, 1000000}};
    MUST(timer_create(CLOCK_REALTIME, &by_signal, &timer));
    MUST(timer_settime(timer, 0, &often, NULL));
    usleep(20000);
    sigset_t set = set_of(SIGUSR1);
    siginfo_t info;
    MUST(sigwaitinfo(&set, &info));
    say("code %d, overrun %d", info.si_code, info.si_overrun > 0);
    pid_t child = MUST(fork());
    if (child == 0)
        _exit(timer_gettime(timer, &often) == -1 && errno == EINVAL ? 0 : 1);
    say("child has no timer: %s", reaped(child));
    return 0;
}
