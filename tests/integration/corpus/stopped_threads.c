// SIGSTOP stops all threads of a process, including a thread that was created just before, and SIGCONT continues them.
#include "subject.h"

static uint64_t *counters;

static void *counts(void *argument)
{
    uint64_t *mine = counters + (long)argument;
    for (;;)
        __atomic_fetch_add(mine, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void await_progress(void)
{
    for (int i = 0; i < 3; i++) {
        uint64_t before = __atomic_load_n(&counters[i], __ATOMIC_SEQ_CST);
        while (__atomic_load_n(&counters[i], __ATOMIC_SEQ_CST) == before)
            sched_yield();
    }
}

int main(void)
{
    counters = (uint64_t *)MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
    pid_t child = MUST(fork());
    if (child == 0) {
        pthread_t threads[3];
        for (long i = 0; i < 3; i++)
            MUST0(pthread_create(&threads[i], NULL, counts, (void *)i));
        pause();
    }
    for (int round = 0; round < 5; round++) {
        int status;
        await_progress();
        kill(child, SIGSTOP);
        MUST(waitpid(child, &status, WUNTRACED));
        uint64_t before[3];
        memcpy(before, counters, sizeof before);
        usleep(10000);
        say("%s, nothing moves %d", described(status), memcmp(before, counters, sizeof before) == 0);
        kill(child, SIGCONT);
        MUST(waitpid(child, &status, WCONTINUED));
        say("%s", described(status));
    }
    await_progress();
    kill(child, SIGTERM);
    say("%s", reaped(child));
    return 0;
}
