/* A child created with CLONE_CLEAR_SIGHAND has none of its parent's handlers: its fault kills it. */
#include "emitting.h"

#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int *volatile nowhere;

static void handle(int number)
{
    (void)number;
    _exit(7);
}

int main(void)
{
    struct clone_args arguments;
    int status = 0;
    pid_t child;

    signal(SIGSEGV, handle);
    (void)qemu_hypertrace_init(NULL);
    memset(&arguments, 0, sizeof arguments);
    arguments.flags = CLONE_CLEAR_SIGHAND;
    arguments.exit_signal = SIGCHLD;
    child = (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == 0) {
        *nowhere = 1;
        _exit(0);
    }
    waitpid(child, &status, 0);
    printf("the child's status is %#x\n", status & 0x7f);
    return 0;
}
