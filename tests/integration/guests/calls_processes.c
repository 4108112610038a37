/* Processes that start and exit in every way, one after the other. The first argument is the role of this process. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int reap(pid_t child) {
    int status = 0;
    if (waitpid(child, &status, 0) != child) {
        return -1;
    }
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int die_of(int number) {
    pid_t child = fork();
    if (child == 0) {
        kill(getpid(), number);
        _exit(99);
    }
    return reap(child);
}

static int by_vfork(char *program) {
    pid_t child = vfork();
    if (child == 0) {
        char *const arguments[] = {program, "again", NULL};
        execv("/nonexistent", arguments);
        execv(program, arguments);
        _exit(98);
    }
    return reap(child);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        return dup(-1) == -1 ? 7 : 1;
    }
    pid_t child = fork();
    if (child == 0) {
        getppid();
        _exit(3);
    }
    printf("%d", reap(child));
    printf(" %d", by_vfork(argv[0]));
    printf(" %d %d\n", die_of(SIGKILL), die_of(SIGTERM));
    return 0;
}
