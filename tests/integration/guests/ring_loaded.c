/*
 * ring_loaded OBJECT: existing threads use the library in an object that is loaded by dlopen(), and exit after it has
 * been unloaded. Compiled with -DOBJECT and -shared, this file is that object.
 */
#include "exact_events.h"

#ifdef OBJECT

int open_channel(void);
int close_channel(void);
void emit_some(uint64_t slot, uint64_t count);

int open_channel(void)
{
    return qemu_hypertrace_init(NULL);
}

int close_channel(void)
{
    return qemu_hypertrace_fini();
}

void emit_some(uint64_t slot, uint64_t count)
{
    for (uint64_t number = 0; number < count; number++)
        emit_in(slot, slot, number);
}

#else

#include <dlfcn.h>

#define THREADS 10

static pthread_barrier_t step;
static void (*emit_some)(uint64_t slot, uint64_t count);

/* In a handler: this is the first use of the object in the thread. */
static void on_signal(int number)
{
    (void)number;
    emit_some(100, 1);
}

static void *run(void *slot)
{
    pthread_barrier_wait(&step);
    if ((uintptr_t)slot == 0)
        raise(SIGUSR1);
    emit_some((uintptr_t)slot, 1000);
    pthread_barrier_wait(&step);
    pthread_barrier_wait(&step);
    return NULL;
}

static void *find(void *object, const char *name)
{
    void *found = dlsym(object, name);

    check(found != NULL, name);
    return found;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    pthread_t threads[THREADS];
    int (*open_channel)(void);
    int (*close_channel)(void);
    void *object;

    check(argc == 2 && pthread_barrier_init(&step, NULL, THREADS + 1) == 0, "start");
    check(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
    for (uintptr_t i = 0; i < THREADS; i++)
        check(pthread_create(&threads[i], NULL, run, (void *)i) == 0, "pthread_create");
    object = dlopen(argv[1], RTLD_NOW);
    check(object != NULL, "dlopen");
    *(void **)&open_channel = find(object, "open_channel");
    *(void **)&close_channel = find(object, "close_channel");
    *(void **)&emit_some = find(object, "emit_some");
    check(open_channel() == 0, "qemu_hypertrace_init");
    pthread_barrier_wait(&step);
    pthread_barrier_wait(&step);
    check(close_channel() == 0, "qemu_hypertrace_fini");
    check(dlclose(object) == 0, "dlclose");
    pthread_barrier_wait(&step);
    for (int i = 0; i < THREADS; i++)
        check(pthread_join(threads[i], NULL) == 0, "pthread_join");
    return 0;
}

#endif
