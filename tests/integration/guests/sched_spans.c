/*
 * Emits spans that are disturbed on purpose, each in one way, and measures the processor time of each. Prints a line for
 * each span: its kind, and its processor time in ns, at least (within the span) and at most (around it).
 *
 * The arguments are the number of spans of each kind, and the processor that a process that never waits shares with it.
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
#include <time.h>
#include <unistd.h>

enum { QUIET, BLOCKED, PREEMPTED, FAULTS, KINDS };
enum { PAGE = 4096, MOST = 100000 };

struct span {
    int kind;
    long least, most; /* ns */
};

static uint64_t *data;
static struct span spans[MOST];
static int count;
static volatile char *page;

static long processor_time(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return now.tv_sec * 1000000000L + now.tv_nsec;
}

static long preemptions(void)
{
    struct rusage usage;

    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nivcsw;
}

static void emit(uint64_t number)
{
    data[0] = number;
    qemu_hypertrace(0);
}

static void work(int kind)
{
    struct timespec pause = {0, 50000};
    char byte = 0;
    long before;

    switch (kind) {
    case QUIET:
        for (volatile int i = 0; i < 1000; i++) {
        }
        break;
    case BLOCKED:
        nanosleep(&pause, NULL);
        break;
    case PREEMPTED:
        before = preemptions();
        while (preemptions() == before) {
        }
        break;
    case FAULTS:
        page[0] = byte;
        page[PAGE] = byte;
        break;
    }
}

static void span(int kind)
{
    long around = processor_time(), within;

    emit(2 * kind + 1);
    within = processor_time();
    work(kind);
    spans[count].least = processor_time() - within;
    emit(2 * kind + 2);
    spans[count].most = processor_time() - around;
    spans[count++].kind = kind;
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

int main(int argc, char **argv)
{
    int times = argc > 2 ? atoi(argv[1]) : 0;
    pid_t busy;

    if (times <= 0 || times * KINDS > MOST || qemu_hypertrace_init(NULL) != 0) {
        return 1;
    }
    data = qemu_hypertrace_data(0);
    run_on(atoi(argv[2]));
    page = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    /* The memory for the results, the code and the ring of this thread exist before the first span. */
    for (int i = 0; i < MOST; i++) {
        spans[i].kind = -1;
    }
    emit(0);
    for (int i = 0; i < times; i++) {
        madvise((void *)page, 2 * PAGE, MADV_DONTNEED);
        span(QUIET);
        span(BLOCKED);
        span(FAULTS);
    }
    busy = fork();
    if (busy == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
        }
    }
    for (int i = 0; i < times; i++) {
        span(PREEMPTED);
    }
    kill(busy, SIGKILL);
    for (int i = 0; i < count; i++) {
        printf("%d %ld %ld\n", spans[i].kind, spans[i].least, spans[i].most);
    }
    return 0;
}
