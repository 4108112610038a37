// RLIMIT_NOFILE: the same descriptors are free as without htrun.
// emit: no, the channel's descriptor takes a number
#include "subject.h"

int main(void)
{
    struct rlimit limit = {16, 16};
    MUST(setrlimit(RLIMIT_NOFILE, &limit));
    int next;
    while ((next = dup(0)) != -1)
        say("got %d", next);
    say("then %s", strerror(errno));
    void *where = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    say("shared memory without descriptors %d", where != MAP_FAILED);
    pid_t child = MUST(fork());
    if (child == 0) {
        close(15);
        execl("/bin/sh", "sh", "-c", "echo a child with one free descriptor", NULL);
    }
    say("%s", reaped(child));
    return 0;
}
