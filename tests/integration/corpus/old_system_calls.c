// System calls by int 0x80 from 64-bit code: 32-bit numbers, answered as the kernel answers them.
// build: nopie
#include "subject.h"

static long call32(long number, long first, long second, long third)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(third) : "memory", "r8", "r9", "r10", "r11");
    return result;
}

int main(void)
{
    char *low = (char *)MUST(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
    strcpy(low, "by int 0x80\n");
    say("getpid %d", call32(20, 0, 0, 0) == getpid());
    say("write %ld", call32(4, 1, (long)low, 12));
    mark();
    say("unknown %ld", call32(9999, 0, 0, 0));
    say("unknown 64-bit %ld", syscall(9999));
    pid_t child = (pid_t)call32(2, 0, 0, 0);
    if (child == 0)
        _exit(12);
    say("fork: %s", reaped(child));
    call32(1, 77, 0, 0);
    return 0;
}
