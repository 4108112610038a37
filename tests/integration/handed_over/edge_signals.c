/* Emits events with unusual signals, stacks and counters, which argv[1] selects. */
#include "emitting.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static volatile int steps;

static void count_step(int number)
{
    (void)number;
    steps++;
}

static void counter_forbidden(void)
{
    prctl(PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0);
    emit(3);
    prctl(PR_SET_TSC, PR_TSC_ENABLE, 0, 0, 0);
}

static void fault_pending(void)
{
    sigset_t blocked;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGSEGV);
    sigprocmask(SIG_BLOCK, &blocked, NULL);
    syscall(SYS_tgkill, getpid(), gettid(), SIGSEGV);
    emit(2);
    sigpending(&blocked);
    printf("pending: %d\n", sigismember(&blocked, SIGSEGV));
    fflush(stdout);
    _exit(0);
}

/* Emits events with this stack pointer. */
static void emit_at(char *stack)
{
    for (int i = 0; i < 4; i++) {
        __asm__ volatile("mov %%rsp, %%rbx\n\tmov %0, %%rsp\n\tmovl $1, 128(%1)\n\tmov %%rbx, %%rsp"
                         : : "r"(stack), "r"(qemu_hypertrace_control_) : "rbx", "memory");
    }
}

static void small_stack(void)
{
    char *memory = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    mprotect(memory, 4096, PROT_NONE);
    mprotect(memory + 8192, 4096, PROT_NONE);
    emit_at(memory + 4096 + 16);
}

/* The number of steps is not compared, because a patched event takes more steps. */
static void own_steps(void)
{
    signal(SIGTRAP, count_step);
    emit(2);
    __asm__ volatile("pushfq\n\torq $0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
    emit(2);
    __asm__ volatile("pushfq\n\tandq $~0x100, (%%rsp)\n\tpopfq" ::: "memory", "cc");
    printf("stepped: %d\n", steps > 4);
}

int main(int argc, char **argv)
{
    (void)qemu_hypertrace_init(NULL);
    switch (argc > 1 ? argv[1][0] : 0) {
    case 'c': counter_forbidden(); break;
    case 'p': fault_pending(); break;
    case 's': small_stack(); break;
    case 'n': emit_at((char *)0x1234); break;
    case 'o': own_steps(); break;
    default: return 2;
    }
    puts("fine");
    return 0;
}
