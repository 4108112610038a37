/*
 * A small server: one thread accepts requests, four workers answer them, and a checkpointer now and then holds the lock
 * that every worker needs. One request is unlucky: it waits for the longest checkpoint.
 *
 *   server [REQUESTS]      prints how many were answered, and a check sum of the answers
 */
#define _GNU_SOURCE
#include "server.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { WORKERS = 4, CHECKPOINTS = 3 };

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t accepted, taken, total;
};

static struct queue queue = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t due_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t due = PTHREAD_COND_INITIALIZER;
static uint64_t table_sum, checkpoints_due;

static void pause_us(long us)
{
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

static uint64_t compute(uint64_t seed, uint64_t rounds)
{
    volatile uint64_t value = seed | 1;
    for (uint64_t i = 0; i < rounds; i++)
        value = value * 6364136223846793005u + 1442695040888963407u;
    return value >> 32;
}

static uint64_t answer(uint64_t index, uint64_t number)
{
    uint64_t size = 2000 + number * 7919 % 20000;
    trace_work_begin(index, number, size);
    uint64_t result = compute(number, size);
    trace_work_end(index);
    trace_lock_wait_begin(index);
    pthread_mutex_lock(&table_lock);
    trace_lock_wait_end(index);
    trace_update_begin(index);
    table_sum += compute(result, 1000);
    trace_update_end(index);
    pthread_mutex_unlock(&table_lock);
    return result;
}

static void *worker(void *unused)
{
    (void)unused;
    pthread_setname_np(pthread_self(), "worker");
    uint64_t index = qemu_hypertrace_client();
    for (;;) {
        pthread_mutex_lock(&queue.lock);
        while (queue.taken == queue.accepted && queue.accepted < queue.total)
            pthread_cond_wait(&queue.changed, &queue.lock);
        if (queue.taken == queue.total) {
            pthread_mutex_unlock(&queue.lock);
            return NULL;
        }
        uint64_t number = queue.taken++;
        trace_queued(index, queue.accepted - queue.taken);
        pthread_mutex_unlock(&queue.lock);
        answer(index, number);
        trace_request_end(index, number);
    }
}

/* Holds the lock longer each time. */
static void *checkpointer(void *unused)
{
    (void)unused;
    pthread_setname_np(pthread_self(), "checkpointer");
    uint64_t index = qemu_hypertrace_client();
    for (uint64_t i = 0; i < CHECKPOINTS; i++) {
        pthread_mutex_lock(&due_lock);
        while (checkpoints_due <= i)
            pthread_cond_wait(&due, &due_lock);
        pthread_mutex_unlock(&due_lock);
        pthread_mutex_lock(&table_lock);
        trace_checkpoint_begin(index);
        pause_us(1000 * (1 + (long)i * 2));
        trace_checkpoint_end(index);
        pthread_mutex_unlock(&table_lock);
    }
    return NULL;
}

static void accept_requests(uint64_t total)
{
    uint64_t index = qemu_hypertrace_client();
    for (uint64_t number = 0; number < total; number++) {
        trace_request_begin(index, number);
        pthread_mutex_lock(&queue.lock);
        queue.accepted++;
        trace_queued(index, queue.accepted - queue.taken);
        pthread_cond_signal(&queue.changed);
        pthread_mutex_unlock(&queue.lock);
        if (number % (total / (CHECKPOINTS + 1)) == total / (CHECKPOINTS + 1) - 1) {
            pthread_mutex_lock(&due_lock);
            checkpoints_due++;
            pthread_cond_signal(&due);
            pthread_mutex_unlock(&due_lock);
        }
        pause_us(100);
    }
    pthread_mutex_lock(&queue.lock);
    pthread_cond_broadcast(&queue.changed);
    pthread_mutex_unlock(&queue.lock);
}

int main(int argc, char **argv)
{
    pthread_t threads[WORKERS + 1];
    queue.total = argc > 1 ? strtoull(argv[1], NULL, 0) : 200;
    if (queue.total <= CHECKPOINTS)
        return 2;
    qemu_hypertrace_init(NULL); /* Without htrun it fails, and the rest does nothing. */
    for (int i = 0; i < WORKERS; i++)
        pthread_create(&threads[i], NULL, worker, NULL);
    pthread_create(&threads[WORKERS], NULL, checkpointer, NULL);
    accept_requests(queue.total);
    for (int i = 0; i <= WORKERS; i++)
        pthread_join(threads[i], NULL);
    printf("%llu requests, %llx\n", (unsigned long long)queue.taken, (unsigned long long)table_sum);
    return 0;
}
