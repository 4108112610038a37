// setresuid in a program with threads affects all threads (by internal signals of the C library), if it is permitted.
#include "subject.h"

static int gate[2], answer[2];

static void *tells(void *nothing)
{
    await_post(gate[0]);
    uid_t user = (uid_t)syscall(SYS_geteuid);
    mark();
    if (write(answer[1], &user, sizeof user) != sizeof user)
        _exit(3);
    return nothing;
}

int main(void)
{
    if (geteuid() != 0) {
        say("not root");
        return 0;
    }
    MUST(pipe(gate));
    MUST(pipe(answer));
    pthread_t thread;
    MUST0(pthread_create(&thread, NULL, tells, NULL));
    MUST(setresuid(65534, 65534, 0));
    post(gate[1]);
    uid_t user;
    MUST(read(answer[0], &user, sizeof user));
    say("thread runs as %u, dumpable %d", user, prctl(PR_GET_DUMPABLE));
    MUST0(pthread_join(thread, NULL));
    return 0;
}
