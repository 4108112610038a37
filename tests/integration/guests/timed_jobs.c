/* Emits JOBS pairs of begin (arg1 1) and end (arg1 2), with a little work between them, and prints their number. */
#include <qemu-hypertrace.h>

#include <stdio.h>

enum { JOBS = 500 };

int main(void)
{
    uint64_t *data;
    volatile unsigned sum = 0;

    if (qemu_hypertrace_init(NULL) != 0) {
        perror("qemu_hypertrace_init");
        return 1;
    }
    data = qemu_hypertrace_data(0);
    for (int job = 0; job < JOBS; job++) {
        data[0] = 1;
        qemu_hypertrace(0);
        for (unsigned i = 0; i < 1000; i++) {
            sum += i;
        }
        data[0] = 2;
        qemu_hypertrace(0);
    }
    printf("%d jobs\n", JOBS);
    return 0;
}
