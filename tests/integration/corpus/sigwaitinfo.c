// sigwaitinfo, sigtimedwait and sigwait take signals without a handler, in the order of their numbers, with their data.
#include "subject.h"

int main(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGRTMIN);
    sigaddset(&set, SIGRTMIN + 3);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    for (int i = 0; i < 3; i++) {
        MUST(sigqueue(getpid(), SIGRTMIN + 3, (union sigval){.sival_int = 30 + i}));
        MUST(sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i}));
    }
    raise(SIGTERM);
    kill(getpid(), SIGUSR1);
    kill(getpid(), SIGUSR1);
    struct timespec none = {0, 0};
    siginfo_t info;
    for (int number; (number = sigtimedwait(&set, &info, &none)) != -1;)
        say("took %s%d code %d value %d", number >= SIGRTMIN ? "RT+" : "", number >= SIGRTMIN ? number - SIGRTMIN : number,
            info.si_code, info.si_code == SI_QUEUE ? info.si_value.sival_int : -1);
    say("then %s", strerror(errno));

    pid_t parent = getpid(), child = MUST(fork());
    if (child == 0) {
        await_blocked(parent, SYS_rt_sigtimedwait);
        _exit(kill(parent, SIGTERM));
    }
    MUST(sigwaitinfo(&set, &info));
    say("woken by %d, by my child %d", info.si_signo, info.si_pid == child);
    say("%s", reaped(child));
    return 0;
}
