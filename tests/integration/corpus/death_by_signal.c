// The program sends each fatal signal to itself. The exit status and the core flag are the same as without htrun.
// build: static, nopie, m32
// args: 1
// args: 2
// args: 3
// args: 4
// args: 5
// args: 6
// args: 7
// args: 8
// args: 9
// args: 10
// args: 11
// args: 12
// args: 13
// args: 14
// args: 15
// args: 16
// args: 24
// args: 25
// args: 26
// args: 27
// args: 29
// args: 30
// args: 31
// args: 34
// args: 64
#include "subject.h"

int main(int argc, char **argv)
{
    (void)argc;
    say("before");
    mark();
    kill(getpid(), atoi(argv[1]));
    say("after");
    return 0;
}
