// si_code, si_pid, si_uid and si_value of kill, raise, sigqueue, tgkill, timers and SIGCHLD.
// build: static
#include "subject.h"

static void show(int number, siginfo_t *info, void *context)
{
    (void)context;
    mark();
    say("signal %d: code %d, from myself %d, from parent %d, my user %d", number, info->si_code,
        info->si_pid == getpid(), info->si_pid == getppid(), info->si_uid == getuid());
}

static void show_value(int number, siginfo_t *info, void *context)
{
    (void)context;
    say("signal %d: code %d, value %d", number, info->si_code, info->si_value.sival_int);
}

static pid_t child;

static void show_child(int number, siginfo_t *info, void *context)
{
    (void)context;
    say("signal %d: code %d, my child %d, status %d", number, info->si_code, info->si_pid == child, info->si_status);
}

static void ask_parent(void)
{
    pid_t asker = MUST(fork());
    if (asker == 0) {
        on_siginfo(SIGUSR1, show, 0);
        mask(SIG_BLOCK, SIGUSR1);
        sigset_t none;
        sigemptyset(&none);
        raise(SIGSTOP);
        sigsuspend(&none);
        _exit(0);
    }
    int status;
    MUST(waitpid(asker, &status, WUNTRACED));
    MUST(kill(asker, SIGUSR1));
    MUST(kill(asker, SIGCONT));
    say("%s", reaped(asker));
}

static void watch_child(void)
{
    mask(SIG_BLOCK, SIGCHLD);
    on_siginfo(SIGCHLD, show_child, 0);
    sigset_t none;
    sigemptyset(&none);
    child = MUST(fork());
    if (child == 0) {
        raise(SIGSTOP);
        _exit(1);
    }
    sigsuspend(&none);
    kill(child, SIGKILL);
    sigsuspend(&none);
    int status;
    while (waitpid(child, &status, 0) == -1 && errno == EINTR)
        ;
    say("%s", described(status));
    mask(SIG_UNBLOCK, SIGCHLD);
}

int main(void)
{
    on_siginfo(SIGUSR1, show, 0);
    on_siginfo(SIGUSR2, show_value, 0);
    MUST(kill(getpid(), SIGUSR1));
    raise(SIGUSR1);
    MUST((int)syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1));
    union sigval value = {.sival_int = 4711};
    MUST(sigqueue(getpid(), SIGUSR2, value));

    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2, .sigev_value.sival_int = 815};
    struct itimerspec soon = {.it_value.tv_nsec = 1000000};
    mask(SIG_BLOCK, SIGUSR2);
    MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
    MUST(timer_settime(timer, 0, &soon, NULL));
    sigset_t none;
    sigemptyset(&none);
    sigsuspend(&none);
    ask_parent();
    watch_child();
    return 0;
}
