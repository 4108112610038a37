// exec from a thread that is not the leader: the process keeps its id, the other threads vanish.
// build: static, m32
#include "subject.h"

static char *self;
static char id[16];

static void *sleeps(void *nothing)
{
    pause();
    return nothing;
}

static void *executes(void *round)
{
    mark();
    execl(self, self, id, (char *)round, NULL);
    _exit(1);
}

int main(int argc, char **argv)
{
    self = argv[0];
    snprintf(id, sizeof id, "%d", getpid());
    int round = argc > 2 ? argv[2][0] - '0' : 0;
    if (argc > 2)
        say("round %d: same process %d, leader %d", round, strcmp(id, argv[1]) == 0, getpid() == syscall(SYS_gettid));
    if (round == 5)
        return 9;
    pthread_t threads[4];
    for (int i = 0; i < 3; i++)
        MUST0(pthread_create(&threads[i], NULL, sleeps, NULL));
    static char next[2];
    next[0] = (char)('1' + round);
    MUST0(pthread_create(&threads[3], NULL, executes, next));
    if (round % 2)
        syscall(SYS_exit, 0);
    pause();
    return 2;
}
