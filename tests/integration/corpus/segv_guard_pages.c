// Memory that grows at SIGSEGV, as garbage collectors and JVMs do: read and write barriers by page protection.
// build: static, m32
#include "subject.h"

enum { PAGES = 64 };
static char *heap;
static long page;
static int faults;

static void grow(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    char *where = (char *)info->si_addr;
    if (info->si_code != SEGV_ACCERR || where < heap || where >= heap + PAGES * page)
        _exit(3);
    faults++;
    mark();
    MUST(mprotect((void *)((uintptr_t)where & ~(uintptr_t)(page - 1)), (size_t)page, PROT_READ | PROT_WRITE));
}

int main(void)
{
    page = sysconf(_SC_PAGESIZE);
    on_siginfo(SIGSEGV, grow, SA_NODEFER);
    heap = (char *)MUST(mmap(NULL, PAGES * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (int round = 0; round < 3; round++) {
        long sum = 0;
        for (long i = 0; i < PAGES * page; i += 256)
            heap[i] += (char)i;
        for (long i = 0; i < PAGES * page; i += 256)
            sum += heap[i];
        say("round %d: faults %d sum %ld", round, faults, sum);
        MUST(mprotect(heap, PAGES * page, round ? PROT_NONE : PROT_READ));
    }
    return 0;
}
