// PR_SET_PDEATHSIG: a child gets its signal when the parent dies, by exit or by SIGKILL.
#include "subject.h"

static int told[2];

static void handler(int number)
{
    char byte = (char)number;
    mark();
    if (write(told[1], &byte, 1) != 1)
        _exit(3);
    _exit(0);
}

int main(void)
{
    MUST(pipe(told));
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    for (int killed = 0; killed < 2; killed++) {
        int ready[2];
        MUST(pipe(ready));
        pid_t middle = MUST(fork());
        if (middle == 0) {
            if (MUST(fork()) == 0) {
                on_signal(SIGUSR2, handler, 0);
                MUST(prctl(PR_SET_PDEATHSIG, SIGUSR2));
                post(ready[1]);
                for (;;)
                    pause();
            }
            await_post(ready[0]);
            if (killed)
                raise(SIGKILL);
            _exit(8);
        }
        say("middle %s", reaped(middle));
        char number = 0;
        MUST(read(told[0], &number, 1));
        say("child got %d", number);
        int status;
        MUST(wait(&status));
        say("%s", described(status));
    }
    return 0;
}
