/* The common code of the guests of tests/integration/test_hazards.py. The argument of a guest is the name of a case. */
#ifndef HAZARD_H
#define HAZARD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

#define PAGE 4096

/* Code that stores @index to the control word and has no other visible effect. */
typedef void emitter(volatile uint32_t *control, uint32_t index);

static volatile uint32_t *control;
static __thread uint64_t emitted;       /* the number of events of this thread; the first argument of an event is its
number */
static uint64_t total;                  /* the number of events of all threads and processes that have reported */

/* The control word of the library's mapping. */
__attribute__((unused)) static void open_channel(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (qemu_hypertrace_init(NULL) != 0) {
        perror("qemu_hypertrace_init");
        exit(1);
    }
    control = qemu_hypertrace_control_ + QEMU_HYPERTRACE_BIAS_;
}

/* Emits an event with the index @index by the code @how. The arguments are the event's number and three values by which
 * the test recognises it. */
__attribute__((unused)) static void emit_as(emitter *how, uint32_t index)
{
    volatile uint64_t *data = qemu_hypertrace_data(index);

    data[0] = emitted++;
    data[1] = index;
    data[2] = ~data[0];
    data[3] = UINT64_C(0xfeedfacecafebeef);
    how(control, index);
}

__attribute__((unused)) static void emit(emitter *how)
{
    emit_as(how, 0);
}

/* Adds the number of this thread's events to the total. */
__attribute__((unused)) static void tell(void)
{
    __atomic_add_fetch(&total, emitted, __ATOMIC_SEQ_CST);
    emitted = 0;
}

/* Ends a guest: prints what htrun must have recorded. */
__attribute__((unused)) static int done(void)
{
    tell();
    printf("events %llu\n", (unsigned long long)total);
    return 0;
}

__attribute__((unused)) static void site(const char *what, const void *address)
{
    printf("site %#lx %s\n", (unsigned long)address, what);
}

/* Maps new pages with @size bytes of code at @offset, and makes them read-only. */
__attribute__((unused)) static char *generated(const void *code, size_t size, size_t offset)
{
    size_t length = (offset + size + 2 * PAGE - 1) / PAGE * PAGE;
    char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert(memory != MAP_FAILED);
    memset(memory, 0xc3, length);
    memcpy(memory + offset, code, size);
    assert(mprotect(memory, length, PROT_READ | PROT_EXEC) == 0);
    return memory + offset;
}

#endif
