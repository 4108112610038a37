/*
 * filter_exec FILTER PROGRAM [ARGS...]: runs PROGRAM under a seccomp filter and no tracer, to show the cost of the
 * filter alone. FILTER is a file of `struct sock_filter`, which the bench takes from htrun itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void die(const char *what)
{
    fprintf(stderr, "error: %s: %s\n", what, strerror(errno));
    exit(1);
}

int main(int argc, char **argv)
{
    static struct sock_filter instructions[BPF_MAXINSNS];
    if (argc < 3) {
        fprintf(stderr, "usage: %s FILTER PROGRAM [ARGS...]\n", argv[0]);
        return 2;
    }
    int file = open(argv[1], O_RDONLY | O_CLOEXEC);
    ssize_t size = file < 0 ? -1 : read(file, instructions, sizeof instructions);
    if (size < 0)
        die(argv[1]);
    struct sock_fprog program = {(unsigned short)(size / sizeof *instructions), instructions};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        die("prctl");
    execvp(argv[2], argv + 2);
    die(argv[2]);
}
