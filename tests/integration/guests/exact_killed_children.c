/*
 * The first process exits immediately. Its child starts children that emit forever, and kills each of them while it
 * emits. It prints the number of events that each child has certainly emitted.
 */
#include "exact_events.h"

#include <sys/mman.h>

enum { CHILDREN = 150 };

int main(void)
{
    start_events();
    volatile uint64_t *emitted = mmap(NULL, sizeof *emitted * (CHILDREN + 1), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    check(emitted != MAP_FAILED, "mmap");
    outlive_the_first();
    for (uint64_t who = 1; who <= CHILDREN; who++) {
        pid_t child = fork();
        check(child >= 0, "fork");
        if (child == 0)
            for (;; emitted[who]++)
                emit_in(0, who, emitted[who]);
        while (emitted[who] < who % 10)
            usleep(10);
        kill(child, SIGKILL);
        int status;
        check(waitpid(child, &status, 0) == child && WIFSIGNALED(status), "waitpid");
        printf("%lu %lu\n", (unsigned long)who, (unsigned long)emitted[who]);
    }
    return 0;
}
