// A blocking read is restarted after a handler with SA_RESTART, and fails with EINTR without it.
// build: static, m32
#include "subject.h"

static int ran[2];

static void handler(int number)
{
    (void)number;
    mark();
    post(ran[1]);
}

static void child_reads(int flags, int input, int output)
{
    on_signal(SIGUSR1, handler, flags);
    char byte;
    ssize_t got = read(input, &byte, 1);
    say("flags %d: read gives %zd %s", flags != 0, got, got < 0 ? strerror(errno) : "");
    (void)output;
    _exit(0);
}

int main(void)
{
    int flags[] = {SA_RESTART, 0};
    for (int i = 0; i < 2; i++) {
        int input[2];
        MUST(pipe(input));
        MUST(pipe(ran));
        pid_t child = MUST(fork());
        if (child == 0)
            child_reads(flags[i], input[0], input[1]);
        await_blocked(child, SYS_read);
        MUST(kill(child, SIGUSR1));
        await_post(ran[0]);
        if (flags[i])
            post(input[1]);
        say("%s", reaped(child));
    }
    return 0;
}
