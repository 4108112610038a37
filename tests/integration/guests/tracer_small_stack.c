/* Emits on an alternate stack that ends at a guard page, with SIGSEGV ignored, blocked, and handled and blocked. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

static ucontext_t main_context, small_context;

static void handler(int number)
{
    (void)number;
}

static void emits(void)
{
    uint64_t *data = qemu_hypertrace_data(0);
    struct sigaction action;
    sigset_t set, now;
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);

    signal(SIGSEGV, SIG_IGN);
    data[0] = 1;
    qemu_hypertrace(0);
    sigaction(SIGSEGV, NULL, &action);
    int wrong = action.sa_handler != SIG_IGN;

    signal(SIGSEGV, handler);
    sigprocmask(SIG_BLOCK, &set, NULL);
    data[0] = 2;
    qemu_hypertrace(0);
    sigaction(SIGSEGV, NULL, &action);
    sigprocmask(SIG_BLOCK, NULL, &now);
    wrong += action.sa_handler != handler;
    wrong += !sigismember(&now, SIGSEGV);
    char line[16];
    int length = snprintf(line, sizeof line, "%d\n", wrong);
    if (write(1, line, (size_t)length) != length)
        _exit(2);
}

int main(void)
{
    enum { SIZE = 4096 };
    if (qemu_hypertrace_init(NULL) != 0)
        return 1;
    char *pages = mmap(NULL, 3 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + SIZE, SIZE, PROT_READ | PROT_WRITE) != 0)
        return 1;
    printf("ready\n");
    fflush(stdout);
    getcontext(&small_context);
    small_context.uc_stack.ss_sp = pages + SIZE;
    small_context.uc_stack.ss_size = SIZE;
    small_context.uc_link = &main_context;
    makecontext(&small_context, emits, 0);
    swapcontext(&main_context, &small_context);
    return 0;
}
