/*
 * The first process exits immediately. Its child starts processes whose threads start further threads forever, and ends
 * them by an exec or a kill.
 */
#include "exact_events.h"

enum { PROCESSES = 10, STARTERS = 3 };

static void *nothing(void *unused)
{
    return unused;
}

static void *starts(void *unused)
{
    for (;;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, nothing, NULL) == 0)
            pthread_detach(thread);
    }
    return unused;
}

int main(void)
{
    start_events();
    outlive_the_first();
    for (uint64_t who = 1; who <= PROCESSES; who++) {
        pid_t child = fork();
        check(child >= 0, "fork");
        if (child == 0) {
            pthread_t thread;
            emit_in(0, who, 0);
            for (int i = 0; i < STARTERS; i++)
                check(pthread_create(&thread, NULL, starts, NULL) == 0, "pthread_create");
            usleep(3000);
            if (who % 2 == 0)
                kill(getpid(), SIGKILL);
            execl("/bin/true", "true", NULL);
            _exit(1);
        }
        int status;
        check(waitpid(child, &status, 0) == child, "waitpid");
        check(status == (who % 2 == 0 ? SIGKILL : 0), "status");
    }
    puts("done");
    return 0;
}
