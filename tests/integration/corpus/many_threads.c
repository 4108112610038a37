// Two hundred threads, 20 at a time, which are joined and return results; and detached threads that are killed when the
// process exits.
// build: static, m32
#include "subject.h"

static void *squares(void *argument)
{
    long number = (long)argument;
    if (number % 10 == 0)
        mark();
    return (void *)(number * number);
}

static void *sleeps(void *nothing)
{
    pause();
    return nothing;
}

int main(void)
{
    long sum = 0;
    for (int round = 0; round < 10; round++) {
        pthread_t threads[20];
        for (long i = 0; i < 20; i++)
            MUST0(pthread_create(&threads[i], NULL, squares, (void *)(20 * round + i)));
        for (int i = 0; i < 20; i++) {
            void *square;
            MUST0(pthread_join(threads[i], &square));
            sum += (long)square;
        }
    }
    say("sum %ld", sum);
    for (int i = 0; i < 10; i++) {
        pthread_t thread;
        MUST0(pthread_create(&thread, NULL, sleeps, NULL));
        MUST0(pthread_detach(thread));
    }
    return 0;
}
