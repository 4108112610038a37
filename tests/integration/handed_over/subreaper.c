/* Starts argv[1]... and is its subreaper. */
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    if (argc < 2) {
        return 2;
    }
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    execvp(argv[1], argv + 1);
    perror(argv[1]);
    return 1;
}
