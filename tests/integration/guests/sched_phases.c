/*
 * Makes the kernel switch, move and interrupt its thread, in phases between two events. For each phase it prints how
 * often the kernel has switched, as the kernel itself counts: at least and at most, because a switch may come between
 * the reading of the counts and the event.
 */
#define _GNU_SOURCE
#include <qemu-hypertrace.h>

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SLEEPS = 200, PAGES = 2000, MOVES = 100, PREEMPTIONS = 20, PAGE = 4096 };

static uint64_t *data;
static int processors[2];

struct counts {
    long voluntary, involuntary;
};

static struct counts counted(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_THREAD, &usage) != 0) {
        abort();
    }
    return (struct counts) {usage.ru_nvcsw, usage.ru_nivcsw};
}

static void emit(uint64_t number)
{
    data[0] = number;
    qemu_hypertrace(0);
}

static void run_on(int processor)
{
    cpu_set_t set;

    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
        abort();
    }
}

static void sleeps(void)
{
    struct timespec pause = {0, 1000};

    for (int i = 0; i < SLEEPS; i++) {
        nanosleep(&pause, NULL);
    }
}

static void faults(void)
{
    volatile char *pages = mmap(NULL, (size_t)PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (pages == MAP_FAILED || madvise((void *)pages, (size_t)PAGES * PAGE, MADV_NOHUGEPAGE) != 0) {
        abort();
    }
    printf("pages %lu\n", (unsigned long)pages);
    for (int i = 0; i < PAGES; i++) {
        pages[(size_t)i * PAGE] = 1;
    }
}

static void moves(void)
{
    for (int i = 0; i < MOVES; i++) {
        run_on(processors[(i + 1) % 2]);
    }
}

/* Shares a processor with a process that never waits. */
static void preemptions(void)
{
    long before = counted().involuntary;
    pid_t child = fork();

    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
        }
    }
    while (counted().involuntary - before < PREEMPTIONS) {
    }
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}

int main(void)
{
    void (*phases[])(void) = {sleeps, faults, moves, preemptions};
    cpu_set_t set;

    sched_getaffinity(0, sizeof(set), &set);
    for (int number = 0, found = 0; number < CPU_SETSIZE && found < 2; number++) {
        if (CPU_ISSET(number, &set)) {
            processors[found++] = number;
        }
    }
    if (qemu_hypertrace_init(NULL) != 0) {
        return 1;
    }
    data = qemu_hypertrace_data(0);
    run_on(processors[0]);
    emit(0);
    for (int i = 0; i < 4; i++) {
        struct counts outer_begin = counted(), inner_begin, inner_end, outer_end;

        emit(2 * i + 1);
        inner_begin = counted();
        phases[i]();
        inner_end = counted();
        emit(2 * i + 2);
        outer_end = counted();
        printf("phase %d %ld %ld %ld %ld\n", i,
               inner_end.voluntary - inner_begin.voluntary, outer_end.voluntary - outer_begin.voluntary,
               inner_end.involuntary - inner_begin.involuntary, outer_end.involuntary - outer_begin.involuntary);
    }
    printf("processors %d %d\n", processors[0], processors[1]);
    return 0;
}
