/*
 * Indexes for threads.
 *
 * A process holds an index by an open-file-description lock on the byte of the channel's file whose
 * offset is the index. The kernel releases the lock when the process exits for any reason. All
 * threads of a process share one open file description, and locks of the same description don't
 * exclude each other, so a bitmap shows which indexes the threads of this process have.
 *
 * SPDX-License-Identifier: MIT
 */

/* For F_OFD_SETLK. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "internal.h"
#include "qemu-hypertrace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/*
 * The generation of an index: it identifies one opening of a channel and the
 * process that opened the channel or inherited it. 0 stands for no channel. An index of another
 * generation is invalid.
 */
static unsigned generation;
static unsigned last_generation;

static struct hypertrace_channel *client_channel;       /* NULL: none is open */
static unsigned char *taken;                    /* bit N: a thread of this process has index N */
static size_t taken_size;
static uint64_t taken_count;                    /* the number of bits that are set */

static __thread struct {
    uint64_t index;
    unsigned generation;
} mine;

static pthread_once_t client_key_once = PTHREAD_ONCE_INIT;
static pthread_key_t client_key;
static int key_error;

static void begin_generation(void)
{
    if (++last_generation == 0) {
        ++last_generation;
    }
    __atomic_store_n(&generation, last_generation, __ATOMIC_RELAXED);
}

static bool is_taken(uint64_t index)
{
    return taken[index / CHAR_BIT] >> index % CHAR_BIT & 1;
}

static void flip_taken(uint64_t index)
{
    taken[index / CHAR_BIT] ^= (unsigned char)(1u << index % CHAR_BIT);
    taken_count = is_taken(index) ? taken_count + 1 : taken_count - 1;
}

/*
 * @type: F_WRLCK or F_UNLCK; @command: one of F_OFD_*; @start: for F_OFD_GETLK, set to the first byte of a conflicting
 * lock.
 */
static int lock_byte(int command, short type, uint64_t index, uint64_t *start)
{
    struct flock lock;

    memset(&lock, 0, sizeof lock);
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    lock.l_start = (off_t)index;
    lock.l_len = 1;
    if (fcntl(client_channel->fd, command, &lock) != 0) {
        return errno;
    }
    if (start != NULL) {
        *start = lock.l_type == F_UNLCK ? index + 1 : (uint64_t)lock.l_start;
    }
    return 0;
}

/*
 * Claims the highest free index. To the kernel, adjacent locks of a process are a single lock, so
 * the search takes about one step for each process.
 */
static int claim_index(uint64_t *claimed)
{
    uint64_t above = client_channel->max_clients;
    int error = 0;

    if (!hypertrace_channel_is_fd(client_channel, client_channel->fd)) {
        error = hypertrace_channel_reopen_fd(client_channel);
    }
    while (error == 0 && above > 0) {
        uint64_t index = above - 1;

        if (is_taken(index)) {
            above = index;
            continue;
        }
        error = lock_byte(F_OFD_SETLK, F_WRLCK, index, NULL);
        if (error == 0) {
            flip_taken(index);
            *claimed = index;
            return 0;
        }
        if (error == EAGAIN || error == EACCES) {
            error = lock_byte(F_OFD_GETLK, F_WRLCK, index, &above);
        }
    }
    return error != 0 ? error : EAGAIN;
}

static void release_index(uint64_t index)
{
    flip_taken(index);
    if (hypertrace_channel_is_fd(client_channel, client_channel->fd)) {
        (void)lock_byte(F_OFD_SETLK, F_UNLCK, index, NULL);
    }
}

/* Called when a thread that has requested an index exits. */
static void release_client(void *unused)
{
    (void)unused;
    hypertrace_lock();
    if (generation != 0 && mine.generation == generation) {
        release_index(mine.index);
    }
    mine.generation = 0;
    mine.index = 0;
    hypertrace_unlock();
}

static void create_client_key(void)
{
    key_error = pthread_key_create(&client_key, release_client);
}

/* Claims an index for the calling thread, and stores it in `mine`. */
static int claim_mine(void)
{
    uint64_t index = 0;
    int error;

    if (generation != 0) {
        error = claim_index(&index);
        if (error != 0) {
            return error;
        }
        error = pthread_setspecific(client_key, &mine);
        if (error != 0) {
            release_index(index);
            return error;
        }
    }
    mine.index = index;
    mine.generation = generation;
    return 0;
}

uint64_t qemu_hypertrace_client(void)
{
    int error;

    if (mine.generation == __atomic_load_n(&generation, __ATOMIC_RELAXED)) {
        return mine.index;
    }
    error = pthread_once(&client_key_once, create_client_key);
    if (error == 0) {
        error = key_error;
    }
    if (error == 0) {
        hypertrace_lock();
        error = claim_mine();
        hypertrace_unlock();
    }
    if (error != 0) {
        errno = error;
        return UINT64_MAX;
    }
    hypertrace_rings_expect_events();
    return mine.index;
}

int hypertrace_clients_start(struct hypertrace_channel *opened)
{
    size_t size = (size_t)((opened->max_clients + CHAR_BIT - 1) / CHAR_BIT);

    taken = (unsigned char *)calloc(size, 1);
    if (taken == NULL) {
        return ENOMEM;
    }
    taken_size = size;
    taken_count = 0;
    client_channel = opened;
    begin_generation();
    return 0;
}

void hypertrace_clients_stop(void)
{
    __atomic_store_n(&generation, 0, __ATOMIC_RELAXED);
    client_channel = NULL;
    free(taken);
    taken = NULL;
}

/*
 * Called in the child of fork(), whose parent keeps its indexes. If the child used the parent's
 * open file description, it could claim the same indexes, and would hold the parent's locks after
 * the parent's exit. So the child opens the file again. If this fails, qemu_hypertrace_client()
 * tries again.
 */
void hypertrace_clients_forked(void)
{
    if (client_channel != NULL) {
        (void)hypertrace_channel_reopen_fd(client_channel);
        if (taken_count > 0) {
            memset(taken, 0, taken_size);
            taken_count = 0;
        }
        begin_generation();
    }
}
