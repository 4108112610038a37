/* Ten program images, one after the other. Each is executed by a thread that is not the leader, while all threads emit.
 */
#include "exact_events.h"

static char *self;
static int image;
static pthread_barrier_t barrier;

static void *emits(void *who)
{
    emit_run((uint64_t)(uintptr_t)who, 50);
    pthread_barrier_wait(&barrier);
    pause();
    return NULL;
}

static void *executes(void *who)
{
    emit_run((uint64_t)(uintptr_t)who, 50);
    pthread_barrier_wait(&barrier);
    char next[16];
    snprintf(next, sizeof next, "%d", image + 1);
    execl(self, self, next, NULL);
    _exit(1);
}

int main(int argc, char **argv)
{
    self = argv[0];
    image = argc > 1 ? atoi(argv[1]) : 0;
    start_events();
    emit_run((uint64_t)(image * 10), 50);
    if (image == 9)
        return 0;
    pthread_barrier_init(&barrier, NULL, 3);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++)
        check(pthread_create(&threads[i], NULL, i == 2 ? executes : emits, (void *)(uintptr_t)(image * 10 + i + 1)) == 0,
              "pthread_create");
    pause();
    return 1;
}
