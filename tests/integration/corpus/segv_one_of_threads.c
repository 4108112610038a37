// A fault in one of four threads kills the whole process; a handler runs on the thread that faulted.
// build: static
// emit: no, a trap while SIGSEGV is blocked resets the action of all threads for microseconds
#include "subject.h"

static __thread int number_of_mine;
static __thread sigjmp_buf back;
static pthread_barrier_t barrier;

static void handler(int number)
{
    (void)number;
    mark();
    siglongjmp(back, number_of_mine);
}

static void *faults(void *argument)
{
    number_of_mine = (int)(long)argument;
    volatile long wrong = 0;
    for (volatile int i = 0; i < 200; i++) {
        int got = sigsetjmp(back, 1);
        if (got == 0)
            fault_at(4);
        wrong = wrong + (got != number_of_mine);
    }
    pthread_barrier_wait(&barrier);
    return (void *)wrong;
}

static void *dies(void *nothing)
{
    (void)nothing;
    fault_at(4);
    return NULL;
}

int main(void)
{
    on_signal(SIGSEGV, handler, 0);
    pthread_barrier_init(&barrier, NULL, 4);
    pthread_t threads[4];
    for (long i = 0; i < 4; i++)
        MUST0(pthread_create(&threads[i], NULL, faults, (void *)(i + 1)));
    for (int i = 0; i < 4; i++) {
        void *wrong;
        MUST0(pthread_join(threads[i], &wrong));
        say("thread %d wrong %ld", i, (long)wrong);
    }
    on_signal(SIGSEGV, SIG_DFL, 0);
    MUST0(pthread_create(&threads[0], NULL, dies, NULL));
    pause();
    return 0;
}
