/*
 * library_clients CHANNEL PROCESSES THREADS: prints the indexes of all threads of all processes, one per line. Each
 * thread keeps its index until the end of standard input.
 */
#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <qemu-hypertrace.h>

struct shared {
    pthread_barrier_t claimed;
    pthread_barrier_t done;
    uint64_t indexes[];
};

static struct shared *shared;
static int processes, threads, process;

static void *claim(void *number)
{
    uint64_t index = qemu_hypertrace_client();

    shared->indexes[process * threads + (int)(intptr_t)number] = index;
    pthread_barrier_wait(&shared->claimed);
    assert(qemu_hypertrace_client() == index);
    pthread_barrier_wait(&shared->done);
    return NULL;
}

static void run_threads(void)
{
    pthread_t *all = calloc((size_t)threads, sizeof *all);
    int i;

    assert(all != NULL);
    for (i = 0; i < threads; i++) {
        assert(pthread_create(&all[i], NULL, claim, (void *)(intptr_t)i) == 0);
    }
    for (i = 0; i < threads; i++) {
        pthread_join(all[i], NULL);
    }
    free(all);
}

static void make_shared(void)
{
    size_t size = sizeof *shared + (size_t)(processes * threads) * sizeof shared->indexes[0];
    pthread_barrierattr_t attributes;

    shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert(shared != MAP_FAILED);
    pthread_barrierattr_init(&attributes);
    pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&shared->claimed, &attributes, (unsigned)(processes * threads) + 1);
    pthread_barrier_init(&shared->done, &attributes, (unsigned)(processes * threads) + 1);
}

int main(int argc, char **argv)
{
    int i;

    assert(argc == 4);
    processes = atoi(argv[2]);
    threads = atoi(argv[3]);
    make_shared();
    assert(qemu_hypertrace_init(argv[1]) == 0);
    for (process = 0; process < processes; process++) {
        pid_t child = fork();

        assert(child >= 0);
        if (child == 0) {
            run_threads();
            _exit(0);
        }
    }
    pthread_barrier_wait(&shared->claimed);
    for (i = 0; i < processes * threads; i++) {
        printf("%" PRIu64 "\n", shared->indexes[i]);
    }
    fflush(stdout);
    while (getchar() != EOF) {
    }
    pthread_barrier_wait(&shared->done);
    for (i = 0; i < processes; i++) {
        int status;

        assert(wait(&status) > 0 && status == 0);
    }
    return 0;
}
