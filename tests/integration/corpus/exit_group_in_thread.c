// exit, _exit and a fatal signal in a thread end the whole process with that status.
#include "subject.h"

static void *ends(void *how)
{
    mark();
    if (strcmp((char *)how, "exit") == 0)
        exit(51);
    if (strcmp((char *)how, "_exit") == 0)
        _exit(52);
    if (strcmp((char *)how, "abort") == 0)
        abort();
    syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGTERM);
    return NULL;
}

static void *sleeps(void *nothing)
{
    pause();
    return nothing;
}

static void at_exit(void)
{
    say("exit handler");
}

int main(void)
{
    const char *ways[] = {"exit", "_exit", "abort", "tgkill"};
    for (int i = 0; i < 4; i++) {
        pid_t child = MUST(fork());
        if (child == 0) {
            atexit(at_exit);
            pthread_t threads[8];
            for (int t = 0; t < 8; t++)
                MUST0(pthread_create(&threads[t], NULL, t == 5 ? ends : sleeps,
                                     (void *)(uintptr_t)ways[i]));
            pause();
        }
        say("%s: %s", ways[i], reaped(child));
    }
    return 0;
}
