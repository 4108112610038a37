// Stack overflow handled on an alternate stack, left by siglongjmp, many times, in the main and another thread.
// build: static, m32
#include "subject.h"

static __thread sigjmp_buf back;
static __thread stack_t alternate;

static void handler(int number)
{
    char here;
    int on_it = &here >= (char *)alternate.ss_sp && &here < (char *)alternate.ss_sp + alternate.ss_size;
    stack_t now;
    sigaltstack(NULL, &now);
    say("signal %d on the alternate stack %d, flag %d", number, on_it, (now.ss_flags & SS_ONSTACK) != 0);
    mark();
    siglongjmp(back, 1);
}

__attribute__((noinline)) static int overflow(int depth)
{
    volatile char frame[1024];
    frame[depth % 1024] = (char)depth;
    return depth < 0 ? 0 : overflow(depth + 1) + frame[0];
}

static void *overflows(void *name)
{
    alternate.ss_size = 65536;
    alternate.ss_sp = malloc(alternate.ss_size);
    MUST(sigaltstack(&alternate, NULL));
    for (int i = 0; i < 3; i++)
        if (sigsetjmp(back, 1) == 0)
            overflow(0);
        else
            say("%s recovered", (char *)name);
    return NULL;
}

int main(void)
{
    struct rlimit limit = {1 << 20, RLIM_INFINITY};
    MUST(setrlimit(RLIMIT_STACK, &limit));
    on_signal(SIGSEGV, handler, SA_ONSTACK);
    overflows((void *)"main");
    pthread_t thread;
    MUST0(pthread_create(&thread, NULL, overflows, (void *)"thread"));
    MUST0(pthread_join(thread, NULL));
    return 0;
}
