// A SIGSEGV handler that exits with siglongjmp, 1,000 times, and a handler that skips the faulting instruction.
// build: static, nopie
#include "subject.h"

static sigjmp_buf back;
static int faults;

static void leave(int number)
{
    (void)number;
    faults++;
    mark();
    siglongjmp(back, 1);
}

static void step_over(int number, siginfo_t *info, void *context)
{
    (void)number, (void)info;
    faults++;
    mark();
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP] += 7;
}

int main(void)
{
    on_signal(SIGSEGV, leave, 0);
    for (volatile int i = 0; i < 1000; i++)
        if (sigsetjmp(back, 1) == 0)
            *(volatile int *)(long)(i & ~3) = i;
    say("left %d times", faults);
    faults = 0;
    on_siginfo(SIGSEGV, step_over, 0);
    for (int i = 0; i < 100; i++)
        __asm__ volatile("movq $1, (%0)" : : "r"(8L) : "memory");
    say("stepped over %d times", faults);
    return 0;
}
