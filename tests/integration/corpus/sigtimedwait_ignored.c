// A thread in sigtimedwait is not disturbed by a signal that the process ignores.
#include "subject.h"

int main(void)
{
    on_signal(SIGUSR2, SIG_IGN, 0);
    mask(SIG_BLOCK, SIGUSR1);
    pid_t parent = getpid(), child = MUST(fork());
    if (child == 0) {
        await_blocked(parent, SYS_rt_sigtimedwait);
        kill(parent, SIGUSR2);
        kill(parent, SIGWINCH);
        await_blocked(parent, SYS_rt_sigtimedwait);
        usleep(20000);
        await_blocked(parent, SYS_rt_sigtimedwait);
        kill(parent, SIGUSR1);
        _exit(0);
    }
    sigset_t set = set_of(SIGUSR1);
    struct timespec long_time = {20, 0};
    int number = sigtimedwait(&set, NULL, &long_time);
    say("sigtimedwait %d %s", number, number == -1 ? strerror(errno) : "");
    say("%s", reaped(child));
    return 0;
}
