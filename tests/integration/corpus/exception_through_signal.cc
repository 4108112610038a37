// A C++ exception thrown out of a SIGSEGV and a SIGFPE handler, through the signal's frame.
// build: flags=-fnon-call-exceptions
#include "subject.h"

struct Fault {
    int number;
};

static void thrower(int number)
{
    mark();
    mask(SIG_UNBLOCK, number);
    throw Fault{number};
}

__attribute__((noinline)) static void store(volatile int *where)
{
    *where = 1;
}

__attribute__((noinline)) static int divide(int by)
{
    return 1 / by;
}

int main(int argc, char **)
{
    on_signal(SIGSEGV, thrower, 0);
    on_signal(SIGFPE, thrower, 0);
    for (int i = 0; i < 3; i++) {
        try {
            store(nullptr);
        } catch (const Fault &fault) {
            say("caught fault %d", fault.number);
        }
        try {
            say("%d", divide(argc - 1));
        } catch (const Fault &fault) {
            say("caught fault %d", fault.number);
        }
    }
    return 0;
}
