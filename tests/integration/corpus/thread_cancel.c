// Thread cancellation: clean-up handlers, thread-specific destructors, deferred and asynchronous.
// build: static
#include "subject.h"

static pthread_key_t key;
static int ready;

static void cleaned(void *name)
{
    say("clean-up %s", (char *)name);
    mark();
}

static void *sleeps(void *name)
{
    int old;
    pthread_setcanceltype(strcmp((char *)name, "asynchronous") == 0 ? PTHREAD_CANCEL_ASYNCHRONOUS : PTHREAD_CANCEL_DEFERRED,
                          &old);
    pthread_setspecific(key, name);
    pthread_cleanup_push(cleaned, name);
    __atomic_store_n(&ready, 1, __ATOMIC_SEQ_CST);
    if (strcmp((char *)name, "asynchronous") == 0)
        for (volatile int i = 0;; i++)
            ;
    pause();
    pthread_cleanup_pop(0);
    return NULL;
}

int main(void)
{
    pthread_key_create(&key, cleaned);
    const char *names[] = {"deferred", "asynchronous"};
    for (int i = 0; i < 2; i++) {
        pthread_t thread;
        void *result;
        __atomic_store_n(&ready, 0, __ATOMIC_SEQ_CST);
        MUST0(pthread_create(&thread, NULL, sleeps, (void *)(uintptr_t)names[i]));
        /* With asynchronous cancellation, the thread may be cancelled before it has anything to clean up. */
        while (!__atomic_load_n(&ready, __ATOMIC_SEQ_CST))
            sched_yield();
        MUST0(pthread_cancel(thread));
        MUST0(pthread_join(thread, &result));
        say("cancelled %d", result == PTHREAD_CANCELED);
    }
    return 0;
}
