// A program that single-steps itself with the trap flag, and a program that sets breakpoints in its own code.
// build: static, nopie
#include "subject.h"

static int steps, breakpoints;

static void trap(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    if (info->si_code == TRAP_TRACE)
        steps++;
    else
        breakpoints++;
}

int main(void)
{
    on_siginfo(SIGTRAP, trap, 0);
    __asm__ volatile("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tnop\n\tnop\n\tnop\n\tnop\n\t"
                     "pushfq\n\tandl $~0x100, (%%rsp)\n\tpopfq\n\t"
                     :
                     :
                     : "memory", "cc");
    say("steps %d", steps);
    for (int i = 0; i < 50; i++)
        __asm__ volatile("int3");
    say("breakpoints %d, steps %d", breakpoints, steps);
    raise(SIGTRAP);
    say("sent %d", breakpoints);
    on_signal(SIGTRAP, SIG_DFL, 0);
    __asm__ volatile("int3");
    return 0;
}
