// SIGPIPE kills the program, is handled, or is ignored with EPIPE; a shell pipeline whose reader exits early.
// build: m32
#include "subject.h"

static void handler(int number)
{
    say("handler %d", number);
    mark();
}

int main(void)
{
    int ends[2];
    MUST(pipe(ends));
    close(ends[0]);
    pid_t child = MUST(fork());
    if (child == 0) {
        post(ends[1]);
        _exit(1);
    }
    say("%s", reaped(child));
    on_signal(SIGPIPE, handler, 0);
    ssize_t result = write(ends[1], "x", 1);
    say("write %zd %s", result, strerror(errno));
    on_signal(SIGPIPE, SIG_IGN, 0);
    result = write(ends[1], "x", 1);
    say("write %zd %s", result, strerror(errno));
    on_signal(SIGPIPE, SIG_DFL, 0);
    say("shell %s", described(system("bash -c 'yes | head -n 2; echo ${PIPESTATUS[@]}'")));
    post(ends[1]);
    return 0;
}
