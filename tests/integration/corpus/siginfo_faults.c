// si_code and si_addr of faults: SEGV_MAPERR, SEGV_ACCERR, BUS_ADRERR, FPE_INTDIV, ILL_ILLOPN, a breakpoint, a bad call.
// build: static, nopie, m32
#include "subject.h"

static sigjmp_buf back;
static char *expected;

static void show(int number, siginfo_t *info, void *context)
{
    (void)context;
    mark();
    say("signal %d: code %d, address as expected %d", number, info->si_code, info->si_addr == expected);
    siglongjmp(back, 1);
}

static void store(char *where)
{
    expected = where;
    if (sigsetjmp(back, 1) == 0)
        *(volatile char *)where = 1;
}

static volatile int zero;

int main(void)
{
    int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        on_siginfo(signals[i], show, 0);
    long page = sysconf(_SC_PAGESIZE);
    char *pages = (char *)MUST(mmap(NULL, 3 * page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    MUST(munmap(pages + page, page));
    store(NULL);
    store(pages);
    store(pages + page + 7);
    store(pages + 2 * page + 9);

    int file = MUST(memfd_create("short", 0));
    char *shared = (char *)MUST(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0));
    store(shared + 5);

    if (sigsetjmp(back, 1) == 0)
        say("%d", 77 / zero);
    if (sigsetjmp(back, 1) == 0)
        __asm__ volatile("ud2");
    expected = NULL;
    if (sigsetjmp(back, 1) == 0)
        __asm__ volatile("int3");
    if (sigsetjmp(back, 1) == 0)
        __asm__ volatile("hlt");
    say("recovered from all");
    on_signal(SIGSEGV, SIG_DFL, 0);
    fault_at(4);
    return 0;
}
