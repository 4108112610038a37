/*
 * Events without a channel: from several threads at the same time, from later threads that reuse their memory, with
 * indexes that one thread has requested and others use, from signal handlers, from destructors that run when a thread
 * exits, and from forked children.
 */
#include <qemu-hypertrace.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 20, THREADS = 8, EVENTS = 200 };

static uint64_t *handed_over[THREADS];
static pthread_key_t last_words;

static void emit(uint64_t index, uint64_t *data, uint64_t number)
{
    for (uint64_t i = 0; i < qemu_hypertrace_num_args(); i++) {
        data[i] = number + i;
    }
    qemu_hypertrace(index);
}

static void handle(int number)
{
    emit(1, qemu_hypertrace_data(1), (uint64_t)number);
}

/* It runs after the destructor of the library, whose key is older. */
static void emit_last(void *argument)
{
    (void)argument;
    for (uint64_t i = 0; i < EVENTS; i++) {
        emit(2, qemu_hypertrace_data(2), i);
    }
}

static void *work(void *argument)
{
    uint64_t own = (uint64_t)((uint64_t **)argument - handed_over);

    pthread_setspecific(last_words, argument);
    /* For every second thread, this is its first use of the library. */
    if (own % 2 == 0) {
        pthread_kill(pthread_self(), SIGUSR1);
    }
    for (uint64_t i = 0; i < EVENTS; i++) {
        uint64_t client = qemu_hypertrace_client();

        emit(client, qemu_hypertrace_data(client), i);
        emit(own, handed_over[own], i);
        emit(1ull << 40, qemu_hypertrace_data(1ull << 40), i);
    }
    return NULL;
}

int main(void)
{
    struct sigaction action;
    pthread_t threads[THREADS];
    int status;

    memset(&action, 0, sizeof action);
    action.sa_handler = handle;
    sigaction(SIGUSR1, &action, NULL);
    pthread_key_create(&last_words, emit_last);
    for (int i = 0; i < THREADS; i++) {
        handed_over[i] = qemu_hypertrace_data((uint64_t)i);
    }
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < THREADS; i++) {
            if (pthread_create(&threads[i], NULL, work, &handed_over[i]) != 0) {
                perror("pthread_create");
                return 1;
            }
        }
        for (int i = 0; i < THREADS; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    if (fork() == 0) {
        work(&handed_over[0]);
        _exit(0);
    }
    if (wait(&status) == -1 || status != 0) {
        printf("the child's status is %d\n", status);
    }
    puts("no event");
    return 0;
}
