/* A handler with SA_RESETHAND runs once for a fault that it does not fix. The next fault kills the program. */
#include "emitting.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile int *volatile nowhere;

static void handle(int number)
{
    (void)number;
    if (write(1, "in the handler\n", 15) != 15) {
        _exit(1);
    }
}

int main(int argc, char **argv)
{
    struct sigaction action;

    (void)argv;
    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    action.sa_flags = (int)SA_RESETHAND;
    sigaction(SIGSEGV, &action, NULL);
    (void)qemu_hypertrace_init(NULL);
    if (argc > 1) {
        emit(2);
    }
    /* Ends the program even if the handler runs repeatedly. */
    alarm(20);
    *nowhere = 1;
    return 0;
}
