// signalfd: blocked signals are read with their sender and value, in order; poll reports them.
#include "subject.h"
#include <sys/signalfd.h>

int main(void)
{
    sigset_t set = set_of(SIGRTMIN + 1);
    sigaddset(&set, SIGCHLD);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    int file = MUST(signalfd(-1, &set, SFD_CLOEXEC));
    for (int i = 0; i < 3; i++)
        MUST(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = i}));
    pid_t child = MUST(fork());
    if (child == 0)
        _exit(7);
    siginfo_t ignored;
    MUST(waitid(P_PID, (id_t)child, &ignored, WEXITED | WNOWAIT));
    struct pollfd ready = {.fd = file, .events = POLLIN};
    for (int i = 0; i < 4; i++) {
        say("poll %d", poll(&ready, 1, -1));
        struct signalfd_siginfo info;
        MUST(read(file, &info, sizeof info));
        if (info.ssi_signo == SIGCHLD)
            say("child %d status %d code %d", info.ssi_pid == (uint32_t)child, info.ssi_status, info.ssi_code);
        else
            say("value %d code %d mine %d", info.ssi_int, info.ssi_code, info.ssi_pid == (uint32_t)getpid());
    }
    say("poll %d", poll(&ready, 1, 0));
    say("%s", reaped(child));
    return 0;
}
