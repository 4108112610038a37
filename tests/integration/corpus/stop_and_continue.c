// Stops by SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU and their end by SIGCONT, with handlers; a stop that SIGCONT cancels.
// build: static, m32
#include "subject.h"

static void handler(int number)
{
    say("  handler %d", number);
    mark();
}

static void stops(int number, int with_handlers)
{
    int status;
    pid_t child = MUST(fork());
    if (child == 0) {
        if (with_handlers) {
            on_signal(SIGCONT, handler, 0);
            if (number != SIGSTOP)
                on_signal(number, handler, 0);
        }
        raise(number);
        say("  goes on");
        _exit(6);
    }
    MUST(waitpid(child, &status, WUNTRACED));
    say("signal %d handlers %d: %s", number, with_handlers, described(status));
    if (!WIFSTOPPED(status))
        return;
    if (number == SIGTTIN) {
        kill(child, SIGTERM);
        kill(child, SIGUSR1);
    }
    kill(child, SIGCONT);
    say("  %s", reaped(child));
}

int main(void)
{
    int numbers[] = {SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU};
    setpgid(0, 0);
    pid_t keeper = MUST(fork());
    if (keeper == 0) {
        for (int i = 0; i < 8; i++)
            stops(numbers[i / 2], i % 2);
        _exit(0);
    }
    say("keeper %s", reaped(keeper));

    mask(SIG_BLOCK, SIGTSTP);
    raise(SIGTSTP);
    raise(SIGCONT);
    sigset_t pending;
    sigpending(&pending);
    say("cancelled %d", !sigismember(&pending, SIGTSTP));

    pid_t killed = MUST(fork());
    if (killed == 0) {
        raise(SIGSTOP);
        _exit(1);
    }
    int status;
    MUST(waitpid(killed, &status, WUNTRACED));
    kill(killed, SIGKILL);
    say("killed while stopped: %s", reaped(killed));
    return 0;
}
