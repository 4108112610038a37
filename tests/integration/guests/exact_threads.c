/* Eight threads emit 1,000 events each, at the same time. */
#include "exact_events.h"

static pthread_barrier_t barrier;

static void *emits(void *who)
{
    pthread_barrier_wait(&barrier);
    emit_run((uint64_t)(uintptr_t)who, 1000);
    return NULL;
}

int main(void)
{
    pthread_t threads[8];
    start_events();
    pthread_barrier_init(&barrier, NULL, 8);
    for (uintptr_t i = 0; i < 8; i++)
        check(pthread_create(&threads[i], NULL, emits, (void *)(i + 1)) == 0, "pthread_create");
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
