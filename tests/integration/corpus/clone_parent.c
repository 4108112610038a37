// clone with CLONE_PARENT makes a sibling; clone3 with a pidfd and exit signal; the pidfd becomes readable when it exits.
#include "subject.h"
#include <linux/sched.h>

int main(void)
{
    int done[2];
    MUST(pipe(done));
    pid_t child = MUST(fork());
    if (child == 0) {
        pid_t grandparent = getppid();
        pid_t sibling = (pid_t)MUST(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, NULL, NULL, 0));
        if (sibling == 0) {
            mark();
            _exit(getppid() == grandparent ? 21 : 22);
        }
        if (write(done[1], &sibling, sizeof sibling) != sizeof sibling)
            _exit(3);
        _exit(20);
    }
    pid_t sibling;
    MUST(read(done[0], &sibling, sizeof sibling));
    say("child %s", reaped(child));
    say("sibling %s", reaped(sibling));

    int handle = -1;
    struct clone_args arguments = {.flags = CLONE_PIDFD, .pidfd = (uint64_t)(uintptr_t)&handle, .exit_signal = SIGCHLD};
    child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0) {
        pause();
        _exit(1);
    }
    struct pollfd ended = {.fd = handle, .events = POLLIN};
    say("running: %d", poll(&ended, 1, 0));
    MUST(syscall(SYS_pidfd_send_signal, handle, SIGTERM, NULL, 0));
    say("ended: %d", poll(&ended, 1, -1));
    say("%s", reaped(child));
    return 0;
}
