// Sleeping calls continue after SIGSTOP and SIGCONT as if nothing had happened: nanosleep, poll, read, futex, wait.
// build: static
#include "subject.h"
#include <linux/futex.h>

static void stop_and_go(pid_t child, long call)
{
    int status;
    await_blocked(child, call);
    MUST(kill(child, SIGSTOP));
    MUST(waitpid(child, &status, WUNTRACED));
    say("  %s", described(status));
    MUST(kill(child, SIGCONT));
    MUST(waitpid(child, &status, WCONTINUED));
    say("  %s", described(status));
}

static int sleeps(int input)
{
    (void)input;
    int64_t start = now_ms();
    struct timespec time = {1, 500000000};
    int result = nanosleep(&time, NULL);
    return result != 0 ? 1 : now_ms() - start < 1500 ? 2 : 0;
}

static int polls(int input)
{
    struct pollfd wanted = {.fd = input, .events = POLLIN};
    return poll(&wanted, 1, 20000) == 1 ? 0 : errno;
}

static int reads(int input)
{
    char byte;
    return read(input, &byte, 1) == 1 ? 0 : errno;
}

static int waits_for_word(int input)
{
    (void)input;
    int word = 0;
    struct timespec time = {1, 500000000};
    return syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, &time, NULL, 0) == -1 && errno == ETIMEDOUT ? 0 : 1;
}

static void try_call(const char *name, long call, int (*body)(int), int ends_by_input)
{
    int input[2];
    MUST(pipe(input));
    pid_t child = MUST(fork());
    if (child == 0)
        _exit(body(input[0]));
    say("%s", name);
    stop_and_go(child, call);
    if (ends_by_input) {
        stop_and_go(child, call == SYS_poll ? SYS_restart_syscall : call);
        post(input[1]);
    }
    say("  %s", reaped(child));
}

int main(void)
{
    try_call("nanosleep", syscall_clock_nanosleep(), sleeps, 0);
    try_call("read", SYS_read, reads, 1);
    try_call("poll", SYS_poll, polls, 1);
    try_call("futex", SYS_futex, waits_for_word, 0);
    return 0;
}
