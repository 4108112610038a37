// setjmp, longjmp, sigsetjmp with and without the mask, and makecontext, swapcontext.
// build: static, nopie
#include "subject.h"

static jmp_buf plain;
static sigjmp_buf with_mask;
static ucontext_t main_context, other_context;

static int blocked(void)
{
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    return sigismember(&now, SIGUSR1);
}

static void leave_plain(int number)
{
    (void)number;
    mark();
    siglongjmp(plain, 2);
}

static void leave_masked(int number)
{
    (void)number;
    mark();
    siglongjmp(with_mask, 3);
}

static void coroutine(void)
{
    for (int i = 0; i < 3; i++) {
        say("coroutine %d", i);
        mark();
        swapcontext(&other_context, &main_context);
    }
}

int main(void)
{
    volatile int round = 0;
    int got = setjmp(plain);
    say("setjmp %d round %d", got, round);
    if (round++ < 3)
        longjmp(plain, round);
    on_signal(SIGUSR1, leave_masked, 0);
    if (sigsetjmp(with_mask, 1) == 0)
        raise(SIGUSR1);
    say("mask restored: blocked %d", blocked());
    on_signal(SIGUSR1, leave_plain, 0);
    if (sigsetjmp(plain, 0) == 0)
        raise(SIGUSR1);
    say("mask not restored: blocked %d", blocked());

    static char stack[65536];
    getcontext(&other_context);
    other_context.uc_stack.ss_sp = stack;
    other_context.uc_stack.ss_size = sizeof stack;
    other_context.uc_link = &main_context;
    makecontext(&other_context, coroutine, 0);
    for (int i = 0; i < 4; i++)
        swapcontext(&main_context, &other_context);
    return 0;
}
