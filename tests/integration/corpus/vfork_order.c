// vfork: the child runs first, in the parent's memory. The parent continues after the child has exited or called exec.
// build: static, m32
#include "subject.h"

static volatile int shared_word;

static pid_t vforked_exit(int status)
{
    pid_t child = vfork();
    if (child == 0) {
        shared_word = status;
        mark();
        _exit(status);
    }
    return child;
}

static pid_t vforked_exec(const char *program, char *const arguments[])
{
    pid_t child = vfork();
    if (child == 0) {
        execv(program, arguments);
        _exit(errno == ENOENT ? 44 : 45);
    }
    return child;
}

int main(void)
{
    for (int i = 0; i < 20; i++) {
        pid_t child = vforked_exit(i);
        if (shared_word != i)
            say("wrong word");
        say("%s", reaped(child));
    }
    char *words[] = {(char *)"echo", (char *)"hello from echo", NULL};
    say("%s", reaped(vforked_exec("/bin/echo", words)));
    say("%s", reaped(vforked_exec("/nonexistent/program", words)));
    pid_t child = vfork();
    if (child == 0) {
        kill(getpid(), SIGKILL);
        _exit(1);
    }
    say("%s", reaped(child));
    return 0;
}
