/* 64-bit code that makes 32-bit system calls (int $0x80), including those that htrun watches, and continues. */
#include <stdint.h>
#include <stdio.h>

#include <qemu-hypertrace.h>

static long old_call(long number, long first, long second, long third)
{
    long result;
    __asm__ volatile("int $0x80"
                     : "=a"(result)
                     : "a"(number), "b"(first), "c"(second), "d"(third), "S"(0L), "D"(0L)
                     : "memory", "r8", "r9", "r10", "r11");
    return result;
}

int main(void)
{
    enum { EXECVE = 11, SIGNAL = 48, MPROTECT = 125, MMAP2 = 192 };
    if (qemu_hypertrace_init(NULL) != 0)
        return 1;
    qemu_hypertrace(0);
    printf("mprotect %ld\n", old_call(MPROTECT, 1, 4096, 0));
    printf("execve %ld\n", old_call(EXECVE, 1, 0, 0));
    printf("signal %ld\n", old_call(SIGNAL, 11, 1, 0));
    printf("mmap %d\n", old_call(MMAP2, 0, 0, 0) < 0);
    qemu_hypertrace(0);
    return 0;
}
