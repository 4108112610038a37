// RLIMIT_CPU: SIGXCPU at the soft limit, SIGKILL at the hard one.
#include "subject.h"

static void handler(int number)
{
    say("handler %d", number);
    mark();
}

static void spins(rlim_t soft, rlim_t hard)
{
    pid_t child = MUST(fork());
    if (child == 0) {
        struct rlimit limit = {soft, hard};
        on_signal(SIGXCPU, hard > soft ? handler : SIG_DFL, 0);
        MUST(setrlimit(RLIMIT_CPU, &limit));
        for (;;)
            ;
    }
    say("soft %d hard %d: %s", (int)soft, (int)hard, reaped(child));
}

int main(void)
{
    spins(1, 2);
    spins(1, 1);
    return 0;
}
