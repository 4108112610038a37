/* Prints the cost of a span of two events in ns of processor time, in the fastest of many blocks. */
#include <qemu-hypertrace.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

int main(int argc, char **argv)
{
    const int blocks = argc > 1 ? atoi(argv[1]) : 300, spans = argc > 2 ? atoi(argv[2]) : 5000;
    double best = 1e9;

    qemu_hypertrace_init(NULL);
    uint64_t index = qemu_hypertrace_client();
    for (int block = 0; block < blocks; block++) {
        double begin = now();

        for (int i = 0; i < spans; i++) {
            uint64_t *data = qemu_hypertrace_data(index);

            data[0] = 1;
            data[1] = (uint64_t)i;
            qemu_hypertrace(index);
            data = qemu_hypertrace_data(index);
            data[0] = 2;
            qemu_hypertrace(index);
        }
        double each = (now() - begin) / spans;
        best = each < best ? each : best;
    }
    printf("%.2f\n", best);
    return 0;
}
