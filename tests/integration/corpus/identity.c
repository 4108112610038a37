// The process group, session, parent, terminal and users are those of the caller, which the harness passes as
// arguments.
// untraced: no, its parent is htrun
#include "subject.h"

static int is(const char *variable, long value)
{
    const char *expected = getenv(variable);
    return expected != NULL && atol(expected) == value;
}

int main(void)
{
    say("parent %d, session %d, group %d", is("CALLER_PID", getppid()), is("CALLER_SESSION", getsid(0)),
        is("CALLER_GROUP", getpgrp()));
    uid_t users[3];
    MUST(getresuid(&users[0], &users[1], &users[2]));
    say("users %u %u %u, leader %d", users[0], users[1], users[2], getpid() == syscall(SYS_gettid));
    say("terminal %d", open("/dev/tty", O_RDWR) != -1);
    return 0;
}
