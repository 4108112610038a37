// A child in a new PID and user namespace is process 1 of the namespace. It has children, which the kernel kills when
// it exits.
#include "subject.h"

int main(void)
{
    pid_t child = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | CLONE_NEWPID | SIGCHLD, 0, NULL, NULL, 0);
    if (child == -1) {
        say("refused: %s", strerror(errno));
        return 0;
    }
    if (child == 0) {
        say("I am %d, my parent is %d", getpid(), getppid());
        pid_t grandchild = MUST(fork());
        if (grandchild == 0) {
            say("I am %d, my parent is %d", getpid(), getppid());
            mark();
            execl("/bin/sh", "sh", "-c", "echo shell $$; exit 5", NULL);
        }
        say("%s", reaped(grandchild));
        if (MUST(fork()) == 0)
            pause();
        _exit(6);
    }
    say("%s", reaped(child));
    return 0;
}
