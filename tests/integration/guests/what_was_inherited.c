/* Prints the state with which this process was started. argv and the environment are in hexadecimal; the value of the
 * channel's variable is not printed. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void words(const char *name, char **list)
{
    printf("%s:", name);
    for (; *list; list++) {
        size_t length = strncmp(*list, "HYPERTRACE=", 11) == 0 ? 11 : strlen(*list);
        printf(" '");
        for (size_t i = 0; i < length; i++)
            printf("%02x", (unsigned char)(*list)[i]);
        printf("'");
    }
    printf("\n");
}

int main(int argc, char **argv)
{
    char line[256];
    int subreaper = 0, status = 0;
    struct rusage children;
    mode_t mask = umask(0);
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if ((strncmp(line, "Sig", 3) == 0 && line[3] != 'Q') || strncmp(line, "ShdPnd", 6) == 0 || strncmp(line, "Cpus_allowed:", 13) == 0)
            printf("%s", line);
    for (int number = 0; number < 1024; number++)
        if (fcntl(number, F_GETFD) >= 0 && (!file || number != fileno(file)))
            printf("descriptor %d\n", number);
    words("arguments", argv);
    words("environment", environ);
    prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
    getrusage(RUSAGE_CHILDREN, &children);
    printf("subreaper %d umask %o nice %d dumpable %d group leader %d\n", subreaper, mask, getpriority(PRIO_PROCESS, 0),
           prctl(PR_GET_DUMPABLE), getpgrp() == getpid());
    while (wait(&status) > 0)
        printf("a child exited with %d\n", WEXITSTATUS(status));
    printf("wait: %s\n", strerror(errno));
    return argc > 40;
}
