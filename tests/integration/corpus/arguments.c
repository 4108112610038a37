// Arguments, empty ones and odd ones, arrive as given; the environment but for HYPERTRACE and HYPERTRACE_FD too, in the same order.
// args: one two three
// args: --help -v -- -D x --hypertrace y
// args: '' ' ' '*' "it's" '$HOME' '\n' ü
#include "subject.h"

extern char **environ;

int main(int argc, char **argv)
{
    say("%d arguments", argc);
    for (int i = 1; i < argc; i++)
        say("[%s]", argv[i]);
    say("argv ends %d", argv[argc] == NULL);
    for (char **variable = environ; *variable; variable++)
        if (strncmp(*variable, "HYPERTRACE=", 11) != 0 && strncmp(*variable, "HYPERTRACE_FD=", 14) != 0)
            say("%s", *variable);
    return 0;
}
