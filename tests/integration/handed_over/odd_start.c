/* Starts argv[1]... with an unusual environment, and with some signals ignored and some blocked. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char *environment[] = {"A=1", "A=2", "NOEQ", "=x", "", "B=\xff\xfe", "EMPTY=", NULL};
    sigset_t blocked;

    if (argc < 2) {
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigaddset(&blocked, SIGUSR2);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    execve(argv[1], argv + 1, environment);
    perror(argv[1]);
    return 1;
}
