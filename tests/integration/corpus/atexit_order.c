// atexit and on_exit handlers, and buffered output written at exit, once by the parent and once by a child.
#include "subject.h"

static void first(void)
{
    printf("registered first\n");
}

static void second(int status, void *name)
{
    printf("%s with %d\n", (char *)name, status);
}

int main(void)
{
    atexit(first);
    on_exit(second, (void *)"registered second");
    pid_t child = MUST(fork());
    if (child == 0)
        exit(4);
    fflush(stdout);
    printf("child: %s\n", reaped(child));
    return 5;
}
