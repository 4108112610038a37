// Real-time signals are queued. They are delivered in the order of their numbers, and those with equal numbers in the
// order in which they were sent. Ordinary signals are merged.
// build: m32
#include "subject.h"

static void show(int number, siginfo_t *info, void *context)
{
    (void)context;
    mark();
    if (number >= SIGRTMIN)
        say("RT+%d value %d", number - SIGRTMIN, info->si_value.sival_int);
    else
        say("signal %d", number);
}

int main(void)
{
    sigset_t all;
    sigfillset(&all);
    MUST(sigprocmask(SIG_SETMASK, &all, NULL));
    int numbers[] = {SIGUSR1, SIGUSR2, SIGRTMIN, SIGRTMIN + 5, SIGRTMAX - 1};
    for (int i = 0; i < 5; i++) {
        struct sigaction action = {.sa_sigaction = show, .sa_flags = SA_SIGINFO};
        sigfillset(&action.sa_mask);
        MUST(sigaction(numbers[i], &action, NULL));
    }
    for (int round = 0; round < 4; round++)
        for (int i = 4; i >= 0; i--)
            MUST(sigqueue(getpid(), numbers[i], (union sigval){.sival_int = 10 * round + i}));
    sigset_t none;
    sigemptyset(&none);
    MUST(sigprocmask(SIG_SETMASK, &none, NULL));
    say("end");
    return 0;
}
