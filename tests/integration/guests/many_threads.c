/* `many_threads LIVING MORE`: LIVING threads that exist at the same time emit three events each. MORE threads, one
 * after the other, also emit three events each. Then the LIVING threads emit three further events each. */
#include "exact_events.h"

static pthread_barrier_t all, go_on;

static void emit_three(uint64_t who)
{
    uint64_t slot = qemu_hypertrace_client();
    for (uint64_t number = 0; number < 3; number++)
        emit_in(slot, who, number);
}

static void *live(void *who)
{
    emit_three((uintptr_t)who);
    pthread_barrier_wait(&all);
    pthread_barrier_wait(&go_on);
    emit_three((uintptr_t)who);
    return NULL;
}

static void *pass(void *who)
{
    emit_three((uintptr_t)who);
    return NULL;
}

int main(int argc, char **argv)
{
    check(argc == 3, "arguments");
    uintptr_t living = strtoul(argv[1], NULL, 10), more = strtoul(argv[2], NULL, 10);
    pthread_t *threads = calloc(living + 1, sizeof *threads), one;
    pthread_attr_t small;
    start_events();
    check(threads != NULL && pthread_attr_init(&small) == 0, "pthread_attr_init");
    check(pthread_attr_setstacksize(&small, 64 << 10) == 0, "pthread_attr_setstacksize");
    check(pthread_barrier_init(&all, NULL, living + 1) == 0, "pthread_barrier_init");
    check(pthread_barrier_init(&go_on, NULL, living + 1) == 0, "pthread_barrier_init");
    for (uintptr_t who = 0; who < living; who++)
        check(pthread_create(&threads[who], &small, live, (void *)who) == 0, "pthread_create");
    pthread_barrier_wait(&all);
    for (uintptr_t who = living; who < living + more; who++) {
        check(pthread_create(&one, &small, pass, (void *)who) == 0, "pthread_create");
        check(pthread_join(one, NULL) == 0, "pthread_join");
    }
    pthread_barrier_wait(&go_on);
    for (uintptr_t who = 0; who < living; who++)
        check(pthread_join(threads[who], NULL) == 0, "pthread_join");
    return 0;
}
