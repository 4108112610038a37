/*
 * How long the first calls of a program take, in ns, as one line of JSON on standard output: qemu_hypertrace_init(), the
 * first event of the run, and the median of the first events at further call sites.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <qemu-hypertrace.h>

enum { SITES = 21 };

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t times[SITES + 1];

/* One call site, since qemu_hypertrace() is inline. */
#define TIMED(number) \
    do { \
        uint64_t begin = now(); \
        qemu_hypertrace(number); \
        times[number] = now() - begin; \
    } while (0)

static int compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

    return a < b ? -1 : a > b;
}

int main(void)
{
    uint64_t begin = now();

    if (qemu_hypertrace_init(NULL) != 0)
        return 1;

    uint64_t init = now() - begin;

    TIMED(0);
    TIMED(1);
    TIMED(2);
    TIMED(3);
    TIMED(4);
    TIMED(5);
    TIMED(6);
    TIMED(7);
    TIMED(8);
    TIMED(9);
    TIMED(10);
    TIMED(11);
    TIMED(12);
    TIMED(13);
    TIMED(14);
    TIMED(15);
    TIMED(16);
    TIMED(17);
    TIMED(18);
    TIMED(19);
    TIMED(20);
    TIMED(21);

    uint64_t first = times[0];

    qsort(times + 1, SITES, sizeof times[0], compare);
    printf("{\"init\": %llu, \"event\": %llu, \"site\": %llu}\n", (unsigned long long)init, (unsigned long long)first,
           (unsigned long long)times[1 + SITES / 2]);
    return 0;
}
