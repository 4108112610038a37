// Threads that fork at the same time, with atfork handlers; each child has one thread; signals directed at one thread.
#include "subject.h"

static __thread int mine;
static int handled_by[4];

static void in_child(void)
{
    mark();
}

static void handler(int number)
{
    (void)number;
    handled_by[mine]++;
    mark();
}

static int threads_of_me(void)
{
    struct stat tasks;
    MUST(stat("/proc/self/task", &tasks));
    return (int)tasks.st_nlink - 2;
}

static void *forks(void *number)
{
    mine = (int)(long)number;
    int good = 0;
    for (int i = 0; i < 5; i++) {
        pid_t child = MUST(fork());
        if (child == 0)
            _exit(threads_of_me() == 1 ? mine : 99);
        int status;
        while (waitpid(child, &status, 0) == -1 && errno == EINTR)
            ;
        good += status == mine << 8;
    }
    for (int i = 0; i < 10; i++)
        MUST0(pthread_kill(pthread_self(), SIGUSR1));
    return (void *)(long)good;
}

int main(void)
{
    pthread_atfork(NULL, NULL, in_child);
    on_signal(SIGUSR1, handler, SA_RESTART);
    pthread_t threads[4];
    for (long i = 0; i < 4; i++)
        MUST0(pthread_create(&threads[i], NULL, forks, (void *)i));
    for (int i = 0; i < 4; i++) {
        void *good;
        MUST0(pthread_join(threads[i], &good));
        say("thread %d: good children %ld, signals %d", i, (long)good, handled_by[i]);
    }
    return 0;
}
