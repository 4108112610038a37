// A handler sees the registers of the interrupted code and may change them. Vector registers do not change.
// build: static, nopie
#include "subject.h"

static void change(int number, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    say("signal %d rbx %#llx r12 %#llx", number, registers[REG_RBX], registers[REG_R12]);
    mark();
    volatile double spoil = 1.5;
    for (int i = 0; i < 10; i++)
        spoil *= 1.25;
    registers[REG_RBX] = 0x1234;
    registers[REG_RIP] += 2;
}

int main(void)
{
    on_siginfo(SIGILL, change, 0);
    uint64_t changed, kept;
    double vector;
    __asm__ volatile("mov $0x1111, %%rbx\n\tmov $0x2222, %%r12\n\tmov $0x400c000000000000, %%rax\n\t"
                     "movq %%rax, %%xmm15\n\tud2\n\tmovq %%xmm15, %2\n\tmov %%rbx, %0\n\tmov %%r12, %1"
                     : "=r"(changed), "=r"(kept), "=r"(vector)
                     :
                     : "rax", "rbx", "r12", "xmm15");
    say("rbx %#lx r12 %#lx xmm15 %.1f", (unsigned long)changed, (unsigned long)kept, vector);
    return 0;
}
