// Nested signal handlers: SA_NODEFER, SA_RESETHAND, sa_mask, and the order of handlers.
// build: static, m32
#include "subject.h"

static int depth, raised;

static void nested(int number)
{
    say("enter %d at depth %d", number, depth);
    mark();
    if (depth++ < 2 && raised++ < 4)
        raise(number);
    if (number == SIGUSR1 && depth < 5)
        raise(SIGUSR2);
    depth--;
    say("leave %d at depth %d", number, depth);
}

static void once(int number)
{
    say("once %d", number);
}

int main(void)
{
    on_signal(SIGUSR1, nested, SA_NODEFER);
    on_signal(SIGUSR2, nested, 0);
    raise(SIGUSR1);
    depth = 0;
    raise(SIGUSR2);

    struct sigaction masking = {.sa_handler = nested};
    sigaddset(&masking.sa_mask, SIGUSR2);
    MUST(sigaction(SIGUSR1, &masking, NULL));
    depth = 0;
    raise(SIGUSR1);

    on_signal(SIGTERM, once, SA_RESETHAND);
    raise(SIGTERM);
    struct sigaction now;
    MUST(sigaction(SIGTERM, NULL, &now));
    say("reset: %d", now.sa_handler == SIG_DFL);
    raise(SIGTERM);
    say("not reached");
    return 0;
}
