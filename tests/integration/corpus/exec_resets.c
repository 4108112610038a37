// exec keeps what POSIX keeps (alarm, pending signals, working directory, umask) and resets handlers and memory.
#include "subject.h"

static void handler(int number)
{
    (void)number;
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        struct sigaction action;
        sigset_t pending;
        stack_t stack;
        sigaction(SIGUSR1, NULL, &action);
        sigpending(&pending);
        sigaltstack(NULL, &stack);
        char directory[PATH_MAX];
        say("handler gone %d, pending %d, alternate stack off %d, alarm %d, umask %o, directory %s",
            action.sa_handler == SIG_DFL, sigismember(&pending, SIGUSR2), (stack.ss_flags & SS_DISABLE) != 0,
            alarm(0) > 0, umask(0), getcwd(directory, sizeof directory));
        say("descriptor 9 %d, descriptor 8 %d", fcntl(9, F_GETFD) != -1, fcntl(8, F_GETFD) != -1);
        return 0;
    }
    static char memory[65536];
    stack_t stack = {.ss_sp = memory, .ss_size = sizeof memory};
    MUST(sigaltstack(&stack, NULL));
    on_signal(SIGUSR1, handler, 0);
    mask(SIG_BLOCK, SIGUSR2);
    raise(SIGUSR2);
    alarm(100);
    umask(027);
    MUST(dup3(0, 9, 0));
    MUST(dup3(0, 8, O_CLOEXEC));
    MUST(chdir("/usr"));
    mark();
    execl("/proc/self/exe", argv[0], "again", NULL);
    return 1;
}
