// The exit status of the first process, by return, exit and _exit.
// build: static, nopie, m32
// args: return 0
// args: return 1
// args: exit 2
// args: exit 77
// args: _exit 124
// args: _exit 125
// args: exit 126
// args: return 127
// args: return 128
// args: exit 139
// args: _exit 255
// args: return 256
#include "subject.h"

int main(int argc, char **argv)
{
    (void)argc;
    int status = atoi(argv[2]);
    say("%s %d", argv[1], status);
    if (strcmp(argv[1], "exit") == 0)
        exit(status);
    if (strcmp(argv[1], "_exit") == 0)
        _exit(status);
    return status;
}
