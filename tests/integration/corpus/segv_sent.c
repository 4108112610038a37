// SIGSEGV sent by kill, sigqueue and tgkill reaches the handler with the sender's data, between real faults.
// build: static
#include "subject.h"

static sigjmp_buf back;

static void show(int number, siginfo_t *info, void *context)
{
    (void)context;
    say("signal %d code %d value %d", number, info->si_code, info->si_code == SI_QUEUE ? info->si_value.sival_int : 0);
    mark();
    if (info->si_code > 0)
        siglongjmp(back, 1);
}

int main(void)
{
    on_siginfo(SIGSEGV, show, 0);
    for (int i = 0; i < 3; i++) {
        kill(getpid(), SIGSEGV);
        sigqueue(getpid(), SIGSEGV, (union sigval){.sival_int = i});
        raise(SIGSEGV);
        if (sigsetjmp(back, 1) == 0)
            fault_at(4);
    }
    on_signal(SIGSEGV, SIG_DFL, 0);
    kill(getpid(), SIGSEGV);
    say("not reached");
    return 0;
}
