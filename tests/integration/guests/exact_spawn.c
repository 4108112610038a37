/* vfork children that emit in their parent's memory, vfork and posix_spawn children that execute and then emit. */
#include "exact_events.h"

extern char **environ;

int main(int argc, char **argv)
{
    start_events();
    if (argc > 1) {
        emit_run((uint64_t)atoi(argv[1]), 30);
        return 0;
    }
    uint64_t slot = qemu_hypertrace_client();
    for (uint64_t round = 0; round < 5; round++) {
        pid_t child = vfork();
        if (child == 0) {
            for (uint64_t number = 0; number < 10; number++)
                emit_in(slot, 100 + round, number);
            _exit(0);
        }
        reap(child);
        emit_in(slot, 1, 3 * round);

        char name[16];
        snprintf(name, sizeof name, "%d", 200 + (int)round);
        char *words[] = {argv[0], name, NULL};
        child = vfork();
        if (child == 0) {
            execv(argv[0], words);
            _exit(1);
        }
        emit_in(slot, 1, 3 * round + 1);
        reap(child);

        snprintf(name, sizeof name, "%d", 300 + (int)round);
        check(posix_spawn(&child, argv[0], NULL, NULL, words, environ) == 0, "posix_spawn");
        emit_in(slot, 1, 3 * round + 2);
        reap(child);
    }
    return 0;
}
