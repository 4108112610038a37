/* Four threads fork five children each while they emit; parents and children emit 25 events after each fork. */
#include "exact_events.h"

static void *forks(void *argument)
{
    uint64_t who = (uint64_t)(uintptr_t)argument;
    for (uint64_t child = 1; child <= 5; child++) {
        pid_t pid = fork();
        check(pid != -1, "fork");
        if (pid == 0) {
            emit_run(who * 100 + child, 25);
            _exit(0);
        }
        uint64_t slot = qemu_hypertrace_client();
        for (uint64_t number = 0; number < 25; number++)
            emit_in(slot, who, (child - 1) * 25 + number);
        reap(pid);
    }
    return NULL;
}

int main(void)
{
    pthread_t threads[4];
    start_events();
    for (uintptr_t i = 0; i < 4; i++)
        check(pthread_create(&threads[i], NULL, forks, (void *)(i + 1)) == 0, "pthread_create");
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
