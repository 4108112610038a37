// SIGCHLD for stops, continues and deaths; SA_NOCLDSTOP, SA_NOCLDWAIT and an ignored SIGCHLD (children reap themselves).
#include "subject.h"

static int told[2];

static void handler(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    char code = (char)info->si_code;
    if (write(told[1], &code, 1) != 1)
        _exit(3);
}

static int next_code(void)
{
    char code;
    while (read(told[0], &code, 1) == -1 && errno == EINTR)
        ;
    return code;
}

/* A code may be lost: while one SIGCHLD is pending, the next one is dropped. */
static void forget_codes(void)
{
    char code;
    MUST(fcntl(told[0], F_SETFL, O_NONBLOCK));
    while (read(told[0], &code, 1) == 1 || errno == EINTR)
        ;
    MUST(fcntl(told[0], F_SETFL, 0));
}

static pid_t child_that_stops(void)
{
    pid_t child = MUST(fork());
    if (child == 0) {
        raise(SIGSTOP);
        _exit(9);
    }
    return child;
}

int main(void)
{
    int status;
    MUST(pipe(told));
    on_siginfo(SIGCHLD, handler, SA_RESTART);
    pid_t child = child_that_stops();
    say("stop code %d", next_code());
    kill(child, SIGCONT);
    say("%s", reaped(child));
    forget_codes();

    on_siginfo(SIGCHLD, handler, SA_RESTART | SA_NOCLDSTOP);
    child = child_that_stops();
    MUST(waitpid(child, &status, WUNTRACED));
    kill(child, SIGCONT);
    say("only death %d", next_code());
    say("%s", reaped(child));

    on_siginfo(SIGCHLD, handler, SA_RESTART | SA_NOCLDWAIT);
    if (MUST(fork()) == 0)
        _exit(1);
    say("nobody to wait for: %d %s, code %d", waitpid(-1, &status, 0), strerror(ECHILD), next_code());

    on_signal(SIGCHLD, SIG_IGN, 0);
    for (int i = 0; i < 5; i++)
        if (MUST(fork()) == 0)
            _exit(i);
    int result = waitpid(-1, &status, 0);
    say("ignored: %d %s", result, strerror(errno));
    return 0;
}
