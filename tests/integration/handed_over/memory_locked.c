/* Locks all present and future memory; with an argument, limits its address space after its first event instead. */
#include "emitting.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

enum { EVENTS = 1000 };

static void *work(void *unused)
{
    uint64_t index = qemu_hypertrace_client(), *data = qemu_hypertrace_data(index);

    for (uint64_t i = 0; i < EVENTS; i++) {
        data[0] = i;
        qemu_hypertrace(index);
    }
    return unused;
}

static void limit_memory(void)
{
    struct rlimit limit = {1 << 30, 1 << 30};
    void *memory;

    setrlimit(RLIMIT_AS, &limit);
    memory = mmap(NULL, 100 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    printf("100 MiB: %s\n", memory == MAP_FAILED ? strerror(errno) : "mapped");
}

int main(int argc, char **argv)
{
    struct rusage usage;
    pthread_t thread;
    int error;

    (void)argv;
    if (argc == 1) {
        printf("mlockall: %d\n", mlockall(MCL_CURRENT | MCL_FUTURE));
    }
    (void)qemu_hypertrace_init(NULL);
    work(NULL);
    if (argc > 1) {
        limit_memory();
    }
    error = pthread_create(&thread, NULL, work, NULL);
    printf("pthread_create: %d\n", error);
    if (error == 0) {
        pthread_join(thread, NULL);
    }
    getrusage(RUSAGE_SELF, &usage);
    printf("1 GiB or more: %d\n", usage.ru_maxrss >= 1 << 20);
    return 0;
}
