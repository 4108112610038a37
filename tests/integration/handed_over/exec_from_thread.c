/* A thread of each child execs while the child's leader emits from a site that is just being patched. */
#include "emitting.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHILDREN = 60, DONE = 77 };

static void *executes(void *nothing)
{
    char *arguments[] = {"/proc/self/exe", "again", NULL};

    emit(1);
    execv(arguments[0], arguments);
    return nothing;
}

int main(int argc, char **argv)
{
    int right = 0, status;

    (void)qemu_hypertrace_init(NULL);
    emit(1);
    if (argc > 1) {
        return DONE;
    }
    for (int i = 0; i < CHILDREN; i++) {
        pid_t child = fork();

        if (child == 0) {
            pthread_t thread;

            pthread_create(&thread, NULL, executes, argv);
            qemu_hypertrace(3);
            pause();
        }
        waitpid(child, &status, 0);
        right += WIFEXITED(status) && WEXITSTATUS(status) == DONE;
    }
    printf("%d of %d\n", right, CHILDREN);
    return 0;
}
