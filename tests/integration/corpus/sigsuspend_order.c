// sigsuspend: the handler runs with the temporary mask, then the old mask is restored, and EINTR is its result.
// build: m32
#include "subject.h"

static void handler(int number)
{
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    say("handler %d, usr1 blocked %d, usr2 blocked %d", number, sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2));
    mark();
}

int main(void)
{
    on_signal(SIGUSR1, handler, 0);
    on_signal(SIGUSR2, handler, 0);
    mask(SIG_BLOCK, SIGUSR1);
    mask(SIG_BLOCK, SIGUSR2);
    raise(SIGUSR2);
    raise(SIGUSR1);
    sigset_t only_usr1, pending, now;
    sigfillset(&only_usr1);
    sigdelset(&only_usr1, SIGUSR1);
    int result = sigsuspend(&only_usr1);
    say("sigsuspend %d %s", result, strerror(errno));
    sigpending(&pending);
    sigprocmask(SIG_BLOCK, NULL, &now);
    say("pending usr1 %d usr2 %d, blocked usr1 %d usr2 %d", sigismember(&pending, SIGUSR1),
        sigismember(&pending, SIGUSR2), sigismember(&now, SIGUSR1), sigismember(&now, SIGUSR2));
    mask(SIG_UNBLOCK, SIGUSR2);
    say("end");
    return 0;
}
