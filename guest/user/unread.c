/*
 * Memory that is never read. qemu_hypertrace_data() returns it if there is no channel, or if the index is out of range.
 *
 * Each thread has its own, because otherwise threads of a program without a
 * channel would store to the same words, which ThreadSanitizer reports as a
 * race. A thread's memory is never unmapped, since another thread may have a pointer to it. When
 * the thread exits, its memory is given to a later thread.
 *
 * SPDX-License-Identifier: MIT
 */

#include "internal.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

/* A thread may use several indexes, and may request the slots of other threads. */
struct block {
    hypertrace_unread_slot slots[HYPERTRACE_UNREAD_SLOTS];
    struct block *next;         /* the next free block; only free blocks use this field */
};

/* pthread_getspecific() would take longer than all else that an event without a channel costs. */
__thread hypertrace_unread_slot *hypertrace_unread_slots;

static struct block shared;     /* shared by threads for which no memory could be mapped */
static struct block *unused;
static pthread_mutex_t unread_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t unread_key;
static bool has_unread_key;

/*
 * Blocks signals, because a signal handler may request a slot, and must not interrupt the thread
 * that holds the lock.
 */
static void lock(sigset_t *mask)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, mask);
    pthread_mutex_lock(&unread_mutex);
}

static void unlock(const sigset_t *mask)
{
    pthread_mutex_unlock(&unread_mutex);
    pthread_sigmask(SIG_SETMASK, mask, NULL);
}

/* Called when the thread exits. Destructors that are called later may emit events, and take another block. */
static void give(void *own)
{
    struct block *block = own;
    sigset_t mask;

    lock(&mask);
    hypertrace_unread_slots = NULL;
    block->next = unused;
    unused = block;
    unlock(&mask);
}

static struct block *take(void)
{
    struct block *block;
    sigset_t mask;

    lock(&mask);
    block = unused;
    if (block != NULL) {
        unused = block->next;
    }
    unlock(&mask);
    if (block == NULL) {
        /* mmap() instead of malloc(), because a signal handler must not call malloc(). */
        block = mmap(NULL, sizeof *block, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (block == MAP_FAILED) {
        return NULL;
    }
    if (pthread_setspecific(unread_key, block) != 0) {
        give(block);
        return NULL;
    }
    return block;
}

static void before_fork(void)
{
    pthread_mutex_lock(&unread_mutex);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&unread_mutex);
}

/* Creates the key before main(), because signal handlers must not call pthread_once(). */
__attribute__((constructor))
static void prepare_unread(void)
{
    has_unread_key = pthread_atfork(before_fork, after_fork, after_fork) == 0 &&
                     pthread_key_create(&unread_key, give) == 0;
}

hypertrace_unread_slot *hypertrace_take_unread(void)
{
    struct block *block = has_unread_key ? take() : NULL;

    if (block == NULL) {
        return shared.slots;
    }
    return hypertrace_unread_slots = block->slots;
}
