// Orphans become children of the nearest subreaper, which reaps them; without a subreaper, they lose their parent.
#include "subject.h"

static int told[2], gate[2];

static void orphan_asks(pid_t first_parent)
{
    await_end(gate[0]);
    char changed = getppid() != first_parent ? 'y' : 'n';
    mark();
    if (write(told[1], &changed, 1) != 1)
        _exit(3);
    _exit(17);
}

static void make_orphan(void)
{
    MUST(pipe(gate));
    pid_t middle = MUST(fork());
    if (middle == 0) {
        pid_t me = getpid();
        if (MUST(fork()) == 0) {
            close(gate[1]);
            orphan_asks(me);
        }
        _exit(16);
    }
    close(gate[0]);
    say("middle %s", reaped(middle));
    close(gate[1]);
    char changed;
    MUST(read(told[0], &changed, 1));
    say("parent changed %c", changed);
}

int main(void)
{
    int status;
    MUST(pipe(told));
    make_orphan();
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    make_orphan();
    MUST(waitpid(-1, &status, 0));
    say("adopted %s", described(status));
    int result = waitpid(-1, &status, 0);
    say("no more %d %s", result, strerror(errno));
    return 0;
}
