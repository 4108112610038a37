// pidfd: signals with data, waiting, descriptors taken from a child, and the exit of a process that is not a child.
#include "subject.h"
#include <sys/epoll.h>

int main(void)
{
    int ready[2];
    MUST(pipe(ready));
    mask(SIG_BLOCK, SIGUSR1);
    pid_t child = MUST(fork());
    if (child == 0) {
        sigset_t set = set_of(SIGUSR1);
        siginfo_t info;
        post(ready[1]);
        MUST(sigwaitinfo(&set, &info));
        mark();
        _exit(info.si_code == SI_USER && info.si_pid == getppid() ? 30 : 31);
    }
    await_post(ready[0]);
    int handle = (int)MUST(syscall(SYS_pidfd_open, child, 0));
    int set = MUST(epoll_create1(EPOLL_CLOEXEC));
    struct epoll_event event = {.events = EPOLLIN};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, handle, &event));
    say("before: %d", epoll_wait(set, &event, 1, 0));
    int taken = (int)syscall(SYS_pidfd_getfd, handle, ready[1], 0);
    say("descriptor taken %d", taken != -1);
    MUST(syscall(SYS_pidfd_send_signal, handle, SIGUSR1, NULL, 0));
    say("after: %d", epoll_wait(set, &event, 1, 20000));
    siginfo_t info;
    MUST(waitid((idtype_t)3, (id_t)handle, &info, WEXITED));
    say("code %d status %d", info.si_code, info.si_status);
    long result = syscall(SYS_pidfd_send_signal, handle, 0, NULL, 0);
    say("signal to the dead: %ld %s", result, strerror(errno));
    return 0;
}
