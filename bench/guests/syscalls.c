/*
 * Two programs that only call the kernel, to measure the cost of a tracer for a program that emits nothing. CALLS=1:
 * getppid; CALLS=2: map and unmap a page of anonymous memory. An "event" is one call.
 */
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../measure.h"

static void emitter_open(struct worker *worker)
{
    (void)worker;
}

static void emit_events(struct worker *worker, uint64_t count)
{
    (void)worker;
#if CALLS == 1
    for (uint64_t i = 0; i < count; i++)
        syscall(SYS_getppid);
#else
    for (uint64_t i = 0; i < count; i += 2) {
        void *page = checked(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), "mmap");
        munmap(page, 4096);
    }
#endif
}

int main(int argc, char **argv)
{
    return measure_main(argc, argv);
}
