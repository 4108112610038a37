// A shell's traps, pipelines, background jobs, wait, here documents and subshells.
#include "subject.h"

static const char script[] =
    "trap 'echo trapped usr1' USR1; trap 'echo bye $?' EXIT\n"
    "kill -USR1 $$; (exit 3); echo status $?\n"
    "printf 'b\\na\\n' | sort | tr a-z A-Z\n"
    "sleep 0.05 & wait $!; echo waited $?\n"
    "sh -c 'kill -KILL $$' & { wait $!; } 2>/dev/null; echo killed $?\n"
    "cat <<END | wc -l\none\ntwo\nEND\n"
    "f() { return 7; }; f || echo function $?\n"
    "exit 21\n";

int main(void)
{
    execl("/bin/bash", "bash", "--norc", "-c", script, NULL);
    return 1;
}
