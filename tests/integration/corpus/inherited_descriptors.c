// The program has exactly the caller's descriptors, with the same flags and kinds. This is also true of children, and
// after exec.
// emit: no, the channel's descriptor is one more
#include "subject.h"
#include <dirent.h>

static void list(const char *who)
{
    for (int number = 0; number < 256; number++) {
        struct stat kind;
        if (fstat(number, &kind) == 0)
            say("%s: %d mode %o flags %#x close-on-exec %d", who, number, kind.st_mode & S_IFMT,
                fcntl(number, F_GETFL), fcntl(number, F_GETFD));
    }
}

int main(int argc, char **argv)
{
    list(argc > 1 ? "executed" : "started");
    if (argc > 1)
        return 0;
    pid_t child = MUST(fork());
    if (child == 0) {
        list("child");
        _exit(0);
    }
    say("%s", reaped(child));
    execl("/proc/self/exe", argv[0], "again", NULL);
    return 1;
}
