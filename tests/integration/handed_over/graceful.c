/* Saves its work when the signal argv[1] requests it to exit. During this time it sends signals to itself. */
#include "emitting.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static volatile sig_atomic_t told;

static void handle(int number)
{
    told = number;
}

int main(int argc, char **argv)
{
    int number = argc > 1 ? atoi(argv[1]) : 0;
    sigset_t all, none;

    signal(number, handle);
    sigfillset(&all);
    sigemptyset(&none);
    sigprocmask(SIG_BLOCK, &all, NULL);
    (void)qemu_hypertrace_init(NULL);
    emit(1);
    puts("ready");
    fflush(stdout);
    while (!told) {
        sigsuspend(&none);
    }
    for (int i = 0; i < 20; i++) {
        usleep(5000);
    }
    emit(2);
    printf("saved after signal %d\n", (int)told);
    return 0;
}
