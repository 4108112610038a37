/* Emits an event, prints a line, and waits for signals. After a stop, it prints that it continues. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

static void tell(const char *line)
{
    if (write(STDOUT_FILENO, line, strlen(line)) < 0)
        _exit(1);
}

static void goes_on(int number)
{
    (void)number;
    qemu_hypertrace(0);
    tell("going on\n");
}

int main(void)
{
    qemu_hypertrace_init(NULL);
    if (fork() != 0) {
        signal(SIGCONT, goes_on);
        qemu_hypertrace(0);
        tell("waiting\n");
    }
    for (;;)
        pause();
}
