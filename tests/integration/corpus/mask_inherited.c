// Masks, pending signals and dispositions after fork and exec, as POSIX requires.
#include "subject.h"

static void handler(int number)
{
    say("handler %d", number);
}

static void show(const char *who)
{
    sigset_t blocked, pending;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    sigpending(&pending);
    struct sigaction usr1, usr2, hup;
    sigaction(SIGUSR1, NULL, &usr1);
    sigaction(SIGUSR2, NULL, &usr2);
    sigaction(SIGHUP, NULL, &hup);
    say("%s: blocked %d %d, pending %d, usr1 default %d, usr2 ignored %d, hup default %d", who,
        sigismember(&blocked, SIGUSR1), sigismember(&blocked, SIGSEGV), sigismember(&pending, SIGUSR1),
        usr1.sa_handler == SIG_DFL, usr2.sa_handler == SIG_IGN, hup.sa_handler == SIG_DFL);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        show("executed");
        return 0;
    }
    on_signal(SIGUSR1, handler, 0);
    on_signal(SIGUSR2, SIG_IGN, 0);
    mask(SIG_BLOCK, SIGUSR1);
    mask(SIG_BLOCK, SIGSEGV);
    mark();
    raise(SIGUSR1);
    show("parent");
    pid_t child = MUST(fork());
    if (child == 0) {
        show("child");
        _exit(0);
    }
    say("%s", reaped(child));
    execl("/proc/self/exe", argv[0], "again", NULL);
    return 1;
}
