// A fault while SIGSEGV is blocked kills the program even if it has a handler. A SIGSEGV that is sent by kill stays
// pending until it is unblocked.
// build: static, m32
#include "subject.h"

static void handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    say("handler %d code %d", number, info->si_code);
}

int main(void)
{
    on_siginfo(SIGSEGV, handler, 0);
    mask(SIG_BLOCK, SIGSEGV);
    mark();
    kill(getpid(), SIGSEGV);
    mark();
    sigset_t now;
    sigpending(&now);
    say("pending %d", sigismember(&now, SIGSEGV));
    mask(SIG_UNBLOCK, SIGSEGV);
    mask(SIG_BLOCK, SIGSEGV);
    mark();
    sigprocmask(SIG_BLOCK, NULL, &now);
    struct sigaction kept;
    sigaction(SIGSEGV, NULL, &kept);
    say("still blocked %d, handler kept %d", sigismember(&now, SIGSEGV), kept.sa_sigaction == handler);
    pid_t child = MUST(fork());
    if (child == 0) {
        fault_at(4);
        _exit(0);
    }
    say("child %s", reaped(child));
    fault_at(8);
    return 0;
}
