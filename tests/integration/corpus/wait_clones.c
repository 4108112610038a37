// Children that clone creates with another exit signal, or without one: __WCLONE and __WALL wait for them, waitpid
// without these flags does not.
#include "subject.h"

static pid_t cloned(unsigned long flags, int status)
{
    pid_t child = (pid_t)MUST(syscall(SYS_clone, flags, 0, NULL, NULL, 0));
    if (child == 0) {
        mark();
        _exit(status);
    }
    return child;
}

static void handler(int number)
{
    say("told by %d", number);
}

int main(void)
{
    int status;
    pid_t silent = cloned(0, 3);
    int got = waitpid(silent, &status, 0);
    say("waitpid %d %s", got, strerror(errno));
    say("__WCLONE %d", waitpid(silent, &status, __WCLONE) == silent);
    say("%s", described(status));
    on_signal(SIGUSR1, handler, SA_RESTART);
    pid_t loud = cloned(SIGUSR1, 4);
    say("__WALL %d", waitpid(loud, &status, __WALL) == loud);
    say("%s", described(status));
    pid_t ordinary = cloned(SIGCHLD, 5);
    say("plain %d", waitpid(ordinary, &status, 0) == ordinary);
    say("%s", described(status));

    pid_t tid = 0, child_tid = -1;
    pid_t child = (pid_t)MUST(
        syscall(SYS_clone, CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | SIGCHLD, 0, &tid, &child_tid, 0));
    if (child == 0)
        _exit(child_tid == getpid() ? 6 : 7);
    say("parent's word %d, my own word %d", tid == child, child_tid);
    say("%s", reaped(child));
    return 0;
}
