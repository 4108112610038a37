/* Executes the program argv[2] with an unusual inherited state, which argv[1] selects. Most programs that start others
 * change such states. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char *odd[] = {"A=1", "A=2", "NOEQ", "=x", "B=\xff\xfe", "", "EMPTY=", "HYPERTRACE=old", NULL, NULL};
    char *none[] = {NULL};
    char *what = argc > 2 ? argv[1] : "";
    char **environment = environ;
    sigset_t set;
    sigemptyset(&set);
    if (strcmp(what, "ignored") == 0) {
        for (int number = 1; number <= SIGRTMAX; number++)
            signal(number, SIG_IGN);
    } else if (strcmp(what, "blocked") == 0) {
        sigfillset(&set);
        sigprocmask(SIG_SETMASK, &set, NULL);
        raise(SIGUSR2);
    } else if (strcmp(what, "child-blocked") == 0) {
        sigaddset(&set, SIGCHLD);
        sigprocmask(SIG_SETMASK, &set, NULL);
    } else if (strcmp(what, "alarm-blocked") == 0) {
        sigaddset(&set, SIGALRM);
        sigprocmask(SIG_SETMASK, &set, NULL);
    } else if (strcmp(what, "subreaper") == 0) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
    } else if (strcmp(what, "child") == 0) {
        if (fork() == 0)
            _exit(9);
    } else if (strcmp(what, "environment") == 0) {
        odd[8] = getenv("TMPDIR") ? getenv("TMPDIR") - strlen("TMPDIR=") : NULL;
        environment = odd;
    } else if (strcmp(what, "no-environment") == 0) {
        environment = none;
    }
    execve(argv[2], argv + 2, environment);
    return 99;
}
