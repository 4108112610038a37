// A process group that becomes orphaned with a stopped member gets SIGHUP and SIGCONT; terminal stops do nothing then.
#include "subject.h"

static int told[2];

static void handler(int number)
{
    say("member got %d", number);
    mark();
}

static void member(int ready)
{
    on_signal(SIGHUP, handler, 0);
    on_signal(SIGCONT, handler, 0);
    post(ready);
    raise(SIGSTOP);
    raise(SIGTSTP);
    say("SIGTSTP did nothing");
    post(told[1]);
    _exit(0);
}

int main(void)
{
    MUST(pipe(told));
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t leader = MUST(fork());
    if (leader == 0) {
        MUST(setsid());
        pid_t middle = MUST(fork());
        if (middle == 0) {
            int ready[2], status;
            MUST(pipe(ready));
            setpgid(0, 0);
            pid_t child = MUST(fork());
            if (child == 0)
                member(ready[1]);
            await_post(ready[0]);
            MUST(waitpid(child, &status, WUNTRACED));
            say("member %s", described(status));
            _exit(3);
        }
        const char *ended = reaped(middle);
        await_post(told[0]);
        say("middle %s", ended);
        _exit(4);
    }
    say("leader %s", reaped(leader));
    int status;
    MUST(wait(&status));
    say("member %s", described(status));
    return 0;
}
