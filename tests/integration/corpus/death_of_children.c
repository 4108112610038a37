// The exit statuses of children that are killed by the signals 1 to 64, with and without a core limit.
// build: static, m32
#include "subject.h"

static void die_of(int number, rlim_t core_limit)
{
    pid_t child = MUST(fork());
    if (child == 0) {
        struct rlimit limit = {core_limit, core_limit};
        MUST(setrlimit(RLIMIT_CORE, &limit));
        raise(number);
        _exit(0);
    }
    int status;
    MUST(waitpid(child, &status, WUNTRACED));
    say("signal %d, core limit %ld: %s", number, (long)core_limit, described(status));
    if (WIFSTOPPED(status)) {
        MUST(kill(child, SIGCONT));
        say("  then %s", reaped(child));
    }
}

int main(void)
{
    for (int number = 1; number <= 64; number++)
        if (number != 32 && number != 33)
            die_of(number, 0);
    die_of(SIGSEGV, 1 << 20);
    die_of(SIGQUIT, 1 << 20);
    die_of(SIGTERM, 1 << 20);
    return 0;
}
