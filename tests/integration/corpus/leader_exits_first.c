// The main thread calls pthread_exit, and the other threads continue. When the last thread exits, the process exits
// with status 0.
// build: static, m32
#include "subject.h"

static pthread_t main_thread;
static int gate[2];

static void *survivor(void *argument)
{
    long number = (long)argument;
    if (number == 0) {
        MUST0(pthread_join(main_thread, NULL));
        say("main thread joined");
        pid_t child = MUST(fork());
        if (child == 0)
            _exit(3);
        say("child of a leaderless process: %s", reaped(child));
        mark();
        post(gate[1]);
        return NULL;
    }
    await_post(gate[0]);
    say("last thread ends");
    mark();
    return NULL;
}

int main(void)
{
    main_thread = pthread_self();
    MUST(pipe(gate));
    for (long i = 0; i < 2; i++) {
        pthread_t thread;
        MUST0(pthread_create(&thread, NULL, survivor, (void *)i));
    }
    pthread_exit(NULL);
}
