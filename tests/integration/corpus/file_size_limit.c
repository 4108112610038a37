// RLIMIT_FSIZE: SIGXFSZ kills the program, or the write fails with EFBIG.
#include "subject.h"

int main(void)
{
    char name[] = "limited-XXXXXX";
    int file = MUST(mkstemp(name));
    unlink(name);
    struct rlimit limit = {1000, 1000};
    MUST(setrlimit(RLIMIT_FSIZE, &limit));
    static char bytes[600];
    say("write %zd", write(file, bytes, sizeof bytes));
    say("write %zd", write(file, bytes, sizeof bytes));
    pid_t child = MUST(fork());
    if (child == 0)
        _exit((int)write(file, bytes, 1));
    say("%s", reaped(child));
    on_signal(SIGXFSZ, SIG_IGN, 0);
    ssize_t result = write(file, bytes, 1);
    say("write %zd %s", result, strerror(errno));
    mark();
    return 0;
}
