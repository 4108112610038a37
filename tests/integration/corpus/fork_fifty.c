// Fifty children at once, reaped in the order of their start; a chain of twenty, each the parent of the next.
// build: static, m32
#include "subject.h"

int main(void)
{
    pid_t children[50];
    for (int i = 0; i < 50; i++) {
        children[i] = MUST(fork());
        if (children[i] == 0) {
            mark();
            _exit(i);
        }
    }
    for (int i = 0; i < 50; i++)
        say("%s", reaped(children[i]));
    int depth = 0;
    pid_t child;
    while ((child = MUST(fork())) == 0)
        if (++depth == 20)
            _exit(100);
    int status;
    MUST(waitpid(child, &status, 0));
    say("depth %d: %s", depth, described(status));
    return WEXITSTATUS(status) + (depth < 10);
}
