// A fault while SIGSEGV is ignored kills the program. A SIGSEGV that is sent by kill is ignored. Neither these signals
// nor an exec changes the disposition.
// build: static, m32
#include "subject.h"

int main(int argc, char **argv)
{
    struct sigaction kept;
    if (argc > 1) {
        sigaction(SIGSEGV, NULL, &kept);
        say("after exec ignored %d", kept.sa_handler == SIG_IGN);
        fault_at(8);
        return 0;
    }
    on_signal(SIGSEGV, SIG_IGN, 0);
    mark();
    kill(getpid(), SIGSEGV);
    raise(SIGSEGV);
    mark();
    sigaction(SIGSEGV, NULL, &kept);
    say("ignored %d", kept.sa_handler == SIG_IGN);
    pid_t child = MUST(fork());
    if (child == 0) {
        fault_at(4);
        _exit(0);
    }
    say("child %s", reaped(child));
    execl("/proc/self/exe", argv[0], "again", NULL);
    return 1;
}
